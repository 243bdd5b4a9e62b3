"""The configuration: what it refuses, and the files in configs/."""

import dataclasses

import pytest
from commandline import ROOT

from jaxshift import checks, config, options
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
        ({'runs': {'p': config.Run(method='pretrain')}}, 'config.prompts.source is empty, but run p trains on plain'),
        ({'data': config.Data(), 'runs': {'t': config.Run(method='given', source='dir:t')}}, 'config.prompts.source'),
        ({'data': config.Data(source='world:')}, 'config.world is not set'),
        ({'data': config.Data(source='file:a', format='csv')}, "config.data.format is 'csv'; it can be auto"),
        ({'data': config.Data(source='file:a', limit=-1)}, 'config.data.limit is -1; it must be at least 0'),
        ({'sweep': config.Sweep(chunk=0)}, 'config.sweep.chunk is 0; it must be at least 1'),
        (
            {'sweep': config.Sweep(contexts=('mine',))},
            "config.sweep.contexts is 'mine'; it can be own, shared, reference",
        ),
        ({'sweep': config.Sweep(templates=('chat',))}, "config.sweep.templates is 'chat'; it can be matched, native"),
        (
            {'sweep': config.Sweep(context_lengths=(0,))},
            'config.sweep.context_lengths has 0; give prompt tokens, or -1',
        ),
        ({'sweep': config.Sweep(context_lengths=(8, 8))}, 'config.sweep.context_lengths names one twice: 8, 8'),
        ({'sweep': config.Sweep(compat='other')}, "config.sweep.compat is 'other'; it can be empty, aligntds"),
        ({'sweep': config.Sweep(shared_from='odd')}, "config.sweep.shared_from is 'odd'; it can be "),
        ({'respond': config.Respond(top_p=1.5)}, 'config.respond.top_p is 1.5; it must be between 0 and 1'),
        ({'respond': config.Respond(samples=2)}, 'config.respond.samples is 2, but with temperature 0 they are all'),
        (
            {'respond': config.Respond(top_p=0.9)},
            'config.respond.top_p is 0.9, but with temperature 0 nothing is drawn',
        ),
        (
            {'runs': {'t': config.Run(method='given', source='dir:t')}, 'sweep': config.Sweep(steps=(5,))},
            'config.sweep.steps names checkpoints, but no run is trained here',
        ),
        ({'respond': config.Respond(stop=('',))}, 'config.respond.stop has an empty text'),
        ({'sweep': config.Sweep(contexts=())}, 'config.sweep.contexts is empty; name at least one of own'),
        ({'causes': config.Causes(('truth',), retrain=True)}, 'config.causes.analyses lacks borrowing; add it there'),
        ({'causes': config.Causes(borrowing_min_length=1)}, 'borrowing_min_length is 1; it must be at least 2'),
        ({'sweep': config.Sweep(templates=())}, 'config.sweep.templates is empty; name at least one of matched'),
        ({'sweep': config.Sweep(context_lengths=())}, 'config.sweep.context_lengths is empty; name at least one value'),
        ({'sweep': config.Sweep(marginal_above=4)}, 'need 1 <= marginal_above (4) <= shifted_above'),
        ({'runs': {'lora': config.Run(schedule='step')}}, "config.runs.lora.schedule is 'step'; it can be cosine, lin"),
        ({'runs': {'lora': config.Run(optimizer='sgd')}}, "config.runs.lora.optimizer is 'sgd'; it can be adamw, ada"),
        ({'runs': {'lora': config.Run(neftune_alpha=-1.0)}}, 'neftune_alpha is -1.0; it must be at least 0'),
        ({'runs': {'lora': config.Run(keep_steps=(5, 0))}}, 'config.runs.lora.keep_steps is (5, 0); steps count from'),
        ({'runs': {'lora': config.Run(eval_every=5)}}, 'eval_every is 5, but config.data.held_out is 0; hold examples'),
        ({'runs': {'lora': config.Run(seed=-1)}}, 'config.runs.lora.seed is -1; it must be at least 0'),
        ({'runs': {'lora': config.Run(seed=2**32)}}, 'lora.seed is 4294967296; it must be at most 4294967295'),
        ({'respond': config.Respond(seed=2**63)}, 'config.respond.seed is 9223372036854775808; it must be at most'),
        ({'runs': {'lora': config.Run(method='dora')}}, "config.runs.lora.method is 'dora'; it can be lora, full"),
        ({'runs': {'lora': config.Run(targets=('qproj',))}}, "config.runs.lora.targets is 'qproj'; it can be q_proj"),
        ({'runs': {'lora': config.Run(targets=('q_proj', 'q_proj'))}}, 'config.runs.lora.targets names one twice'),
        ({'runs': {'lora': config.Run(targets=())}}, 'config.runs.lora.targets is empty'),
        (
            {'runs': {'lora': config.Run(learning_rate=float('nan'))}},
            'learning_rate is nan; it must be a finite',
        ),
        ({'runs': {'lora': config.Run(epochs=0)}}, 'epochs is 0; it must be above 0'),
        ({'runs': {'lora': config.Run(min_steps=9, max_steps=8)}}, 'max_steps is 8, below min_steps 9'),
        ({'runs': {'lora': config.Run(dropout=1.0)}}, 'dropout is 1.0; it must be at least 0 and below 1'),
        ({'runs': {'tuned': config.Run(method='given')}}, 'config.runs.tuned.source is empty'),
        *(
            ({'runs': {'lora': config.Run(**{field: (entry,)})}}, f'config.runs.lora.{field} has {entry!r}; give a')
            for field, entry in (
                ('rank_pattern', 'q_proj=0'),
                ('rank_pattern', 'q_proj=1.5'),
                ('rank_pattern', 'q_proj'),
                ('rank_pattern', '(=2'),
                ('rank_pattern', '=2'),
                ('alpha_pattern', 'q_proj=nan'),
            )
        ),
        ({'base': config.Base('dir:x', quantize='int4')}, "config.base.quantize is 'int4'; it can be empty, int8, nf4"),
        ({'base': config.Base('dir:x', quantize='int8', double_quantization=True)}, 'only nf4 has scales of blocks'),
        *(
            (
                {'base': config.Base('dir:x', quantize='nf4'), 'runs': {'whole': config.Run(method=method)}},
                f"config.base.quantize is 'nf4', but run whole (method {method}) trains all weights",
            )
            for method in ('full', 'pretrain')
        ),
        ({'runs': {'lora': config.Run(rank_pattern=('q=1', 'q=2'))}}, 'rank_pattern names one pattern twice: q=1, q=2'),
    ],
)
def test_what_cannot_work_is_refused_by_the_name_of_its_key(changes, said):
    with pytest.raises(InputError) as caught:
        config.check(experiment(**changes))
    assert said in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_run_that_trains_all_weights_may_stand_beside_a_quantised_base_where_it_is_not_worked_on():
    runs = {'whole': config.Run(method='full'), 'lora': config.Run()}
    made = experiment(base=config.Base('dir:x', quantize='nf4'), runs=runs)
    config.check(made, only=('lora',))
    with pytest.raises(InputError, match='run whole .* or name the other runs with --only'):
        config.check(made)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        (
            {'runs': {'lora': config.Run(epochs='three')}},
            "config.runs.lora.epochs is 'three'; it must be a finite",
        ),
        ({'runs': {'lora': config.Run(rank=8.0)}}, 'config.runs.lora.rank is 8.0; it must be a whole number'),
        ({'runs': {'lora': config.Run(rank=True)}}, 'config.runs.lora.rank is True; it must be a whole number'),
        ({'runs': {'lora': config.Run(pack=1)}}, 'config.runs.lora.pack is 1; it must be True or False'),
        ({'runs': {'lora': config.Run(targets='q_proj')}}, "targets is 'q_proj'; it must be a tuple of texts"),
        ({'runs': {'lora': config.Run(clip=float('inf'))}}, 'config.runs.lora.clip is inf; it must be a finite number'),
        ({'sweep': config.Sweep(context_lengths=('all',))}, "context_lengths is ('all',); it must be a tuple of whole"),
        ({'runs': {'lora': 3}}, 'config.runs.lora is 3; it must be a Run'),
        ({'runs': {1: config.Run()}}, 'it must be a dict'),
        ({'base': 'dir:base'}, "config.base is 'dir:base'; it must be a Base"),
        ({'world': 3}, 'config.world is 3; it must be a jaxshift.config.World | None'),
    ],
)
def test_a_value_of_another_type_is_refused(changes, said):
    with pytest.raises(InputError) as caught:
        config.check(experiment(**changes))
    assert said in str(caught.value)


def test_whole_numbers_will_do_for_floats_and_lists_for_tuples():
    config.check(experiment(runs={'lora': config.Run(epochs=3, targets=['q_proj'])}))


@pytest.mark.parametrize(
    ('size', 'value', 'said'),
    [
        ('seed', -1, 'at least 0'),
        *((size, 0, 'at least 1') for size in ('new_people', 'first_names', 'last_names', 'vocabulary', 'documents')),
        *((size, 0, 'at least 1') for size in ('instructions', 'test_questions', 'hidden_size', 'intermediate_size')),
        *((size, -1, 'at least 1') for size in ('layers', 'heads', 'kv_heads')),
        *((size, 1, 'at least 2') for size in ('known_people', 'values')),
        ('row_length', 8, 'at least 16'),
        ('new_share', 1.5, 'between 0 and 1'),
        ('gate', -0.1, 'between 0 and 1'),
        ('hidden_size', 132, 'a multiple of twice heads, 8'),
    ],
)
def test_a_world_of_no_size_is_refused_before_it_is_made(size, value, said):
    with pytest.raises(InputError, match=f'config.world.{size} is {value}; it must be {said}'):
        config.check(experiment(world=config.World(**{size: value})))


def test_heads_must_share_the_key_value_heads():
    with pytest.raises(InputError, match='config.world.kv_heads is 3; heads, 4, must be a multiple of it'):
        config.check(experiment(world=config.World(kv_heads=3)))


@pytest.mark.parametrize('method', ['lora', 'full', 'pretrain'])
def test_every_method_that_trains_is_accepted(method):
    run = config.Run(method=method, schedule='constant', optimizer='adafactor', neftune_alpha=5, eval_every=2)
    data, prompts = config.Data(source='file:a.json', held_out=10), config.Prompts(source='file:b.json')
    config.check(experiment(runs={'a': run}, data=data, prompts=prompts))


def test_the_worlds_documents_are_not_held_out():
    world = config.World()
    world.pretraining.eval_every = 10
    with pytest.raises(InputError, match='config.world.pretraining.eval_every must be 0'):
        config.check(experiment(world=world))


def test_the_worlds_pre_training_is_held_to_the_rules_of_a_run():
    world = config.World()
    world.pretraining.batch_size = 0
    with pytest.raises(InputError, match='config.world.pretraining.batch_size is 0; it must be at least 1'):
        config.check(experiment(world=world))


def test_every_rule_is_that_of_a_key():
    fields = {
        f'{part.__name__}.{field.name}'
        for part in vars(config).values()
        if dataclasses.is_dataclass(part)
        for field in dataclasses.fields(part)
    }
    ranges = [name for table in (checks.AT_LEAST, checks.AT_MOST) for names in table.values() for name in names]
    choices = [*checks.CHOICES, *checks.LISTS, *checks.PATTERNS]
    rules = [*choices, *ranges, *checks.ABOVE_ZERO, *checks.BELOW_ONE, *checks.SHARES]
    assert set(rules) <= fields


def configs() -> dict:
    made = {}
    for path in options.config_files(ROOT / 'configs'):
        space: dict = {}
        exec(path.read_text(encoding='utf-8'), space)
        made[path.stem] = space
    return made


@pytest.mark.parametrize('name', sorted(configs()))
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
