"""The configuration: what it refuses, what the help tells about it, and the files in configs/."""

import dataclasses

import pytest
from commandline import ROOT

from jaxshift import config, helptext, options
from jaxshift.errors import InputError


def experiment(**changes) -> config.Experiment:
    made = config.Experiment(
        base=config.Base(source='dir:base'), data=config.Data(source='file:a.json'), runs={'lora': config.Run()}
    )
    return dataclasses.replace(made, **changes)


def test_an_experiment_with_a_base_data_and_a_run_is_sound():
    config.check(experiment())


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'base': config.Base()}, 'config.base.source is empty'),
        ({'runs': {}}, 'config.runs is empty'),
        ({'runs': {'a/b': config.Run()}}, "config.runs has the name 'a/b'"),
        ({'data': config.Data()}, 'config.data.source is empty, but run lora trains'),
        ({'data': config.Data(), 'runs': {'t': config.Run(method='given', source='dir:t')}}, 'config.prompts.source'),
        ({'data': config.Data(source='world:')}, 'config.world is not set'),
        ({'data': config.Data(source='file:a', format='sharegpt')}, "config.data.format is 'sharegpt'; it can be auto"),
        ({'data': config.Data(source='file:a', limit=-1)}, 'config.data.limit is -1; it must be at least 0'),
        ({'sweep': config.Sweep(chunk=0)}, 'config.sweep.chunk is 0; it must be at least 1'),
        ({'sweep': config.Sweep(contexts=('shared',))}, "config.sweep.contexts is 'shared'; it can be own"),
        ({'runs': {'lora': config.Run(method='dora')}}, "config.runs.lora.method is 'dora'; it can be lora, full"),
        ({'runs': {'lora': config.Run(targets=('qproj',))}}, "config.runs.lora.targets is 'qproj'; it can be q_proj"),
        ({'runs': {'lora': config.Run(targets=('q_proj', 'q_proj'))}}, 'names a projection twice'),
        ({'runs': {'lora': config.Run(targets=())}}, 'config.runs.lora.targets is empty'),
        ({'runs': {'lora': config.Run(learning_rate=float('nan'))}}, 'learning_rate is nan; it must be above 0'),
        ({'runs': {'lora': config.Run(epochs=0)}}, 'epochs is 0; it must be above 0'),
        ({'runs': {'lora': config.Run(min_steps=9, max_steps=8)}}, 'max_steps is 8, below min_steps 9'),
        ({'runs': {'lora': config.Run(dropout=1.0)}}, 'dropout is 1.0; it must be at least 0 and below 1'),
        ({'runs': {'tuned': config.Run(method='given')}}, 'config.runs.tuned.source is empty'),
    ],
)
def test_what_cannot_work_is_refused_by_the_name_of_its_key(changes, said):
    with pytest.raises(InputError) as caught:
        config.check(experiment(**changes))
    assert said in str(caught.value)
    assert '\n' not in str(caught.value)


def test_every_key_has_a_type_and_a_line_of_help():
    whole = config.Experiment(runs={'lora': config.Run()}, world=config.World())
    found = {option.key: option for section in options.sections(whole) for option in section.options}
    assert all(option.help and option.type for option in found.values())
    assert found['runs.lora.targets'].type == 'tuple[str, ...]'
    assert found['world.pretraining.learning_rate'].value == 3e-3
    assert found['sweep.top_k'] == options.Option('sweep.top_k', 'int', 10, found['sweep.top_k'].help)


def test_the_help_shows_the_runs_once_and_where_they_differ():
    two = experiment(runs={'a': config.Run(learning_rate=1e-3), 'b': config.Run(learning_rate=1e-4)})
    text = ' '.join(helptext.table(two).split())
    assert 'RUN is one of a, b.' in text
    assert text.count('runs.RUN.rank=8') == 1
    assert 'a: 0.001, b: 0.0001' in text


@pytest.mark.parametrize(
    ('asked', 'near'),
    [
        ('swep.chunk', 'sweep.chunk'),
        ('learning_rate', 'runs.lora.learning_rate'),
        ('data.maxlength', 'data.max_length'),
    ],
)
def test_an_unknown_key_is_answered_by_the_nearest(asked, near):
    with pytest.raises(InputError, match=f'unknown key config.{asked}; did you mean config.{near}[?]'):
        options.check_overrides([f'--config.{asked}=1'], experiment())


def test_lists_may_be_typed_with_commas():
    made = experiment(runs={'lora': config.Run(targets=('q_proj,k_proj , v_proj',))})
    options.split_lists(made)
    assert made.runs['lora'].targets == ('q_proj', 'k_proj', 'v_proj')


def configs() -> dict:
    made = {}
    for path in options.config_files(ROOT / 'configs'):
        space: dict = {}
        exec(path.read_text(encoding='utf-8'), space)
        made[path.stem] = space
    return made


@pytest.mark.parametrize('name', ['demo', 'smollm2_135m', 'lora_7b', 'full_7b', 'lora_70b', 'full_70b', 'compare'])
def test_a_config_of_this_repository_says_how_to_start_it_and_is_sound(name):
    space = configs()[name]
    words = [f'--config=configs/{name}.py', 'Command:', 'Hardware:', 'Time:', 'Expected:']
    assert not [word for word in words if word not in space['__doc__']]
    made = space['get_config']()
    if name == 'smollm2_135m':
        made.data.source = 'file:data.json'
    if name == 'compare':
        made.base.source, made.prompts.source, made.runs['tuned'].source = 'dir:base', 'file:prompts.json', 'dir:tuned'
    config.check(made)


@pytest.mark.parametrize('name', ['lora_7b', 'full_7b', 'lora_70b', 'full_70b'])
def test_the_papers_hyper_parameters_are_kept(name):
    made = configs()[name]['get_config']()
    (tuned,) = made.runs.values()
    assert (tuned.epochs, tuned.learning_rate, tuned.batch_size, tuned.rank, tuned.pack) == (3, 5e-5, 32, 8, False)
    assert (tuned.targets, tuned.alpha, made.respond.max_new_tokens) == (('q_proj', 'v_proj'), 16, 512)
