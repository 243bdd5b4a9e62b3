"""Keys on the command line and in the help, and config files that are wrong."""

import dataclasses
import json

import pytest
from commandline import DEMO, start

from jaxshift import config, helptext, options
from jaxshift.errors import InputError

TUNED = config.Experiment(runs={'lora': config.Run()})


def test_every_key_has_a_type_and_a_line_of_help():
    whole = config.Experiment(runs={'lora': config.Run()}, world=config.World())
    found = {option.key: option for section in options.sections(whole) for option in section.options}
    assert all(option.help and option.type for option in found.values())
    assert found['runs.lora.targets'].type == 'tuple[str, ...]'
    assert found['world.pretraining.learning_rate'].value == 3e-3
    assert found['sweep.top_k'] == options.Option('sweep.top_k', 'int', 10, found['sweep.top_k'].help)


def test_the_help_shows_the_runs_once_and_where_they_differ():
    two = config.Experiment(runs={'a': config.Run(learning_rate=1e-3), 'b': config.Run(learning_rate=1e-4)})
    text = ' '.join(' '.join(helptext.table(two)).split())
    assert 'RUN is one of a, b.' in text
    assert text.count('runs.RUN.rank = 8 (int)') == 1
    assert 'a: 0.001, b: 0.0001' in text


def test_a_value_stands_in_the_help_as_it_is_typed_and_a_long_one_is_wrapped():
    mixture = tuple(f'file:/a/folder/with/a/name/{index}@1' for index in range(9))
    study = config.Experiment(data=config.Data(mixture=mixture), respond=config.Respond(stop=('\n\n', 'Human:')))
    lines = list(helptext.table(study, 80))
    assert "  respond.stop = '\\n\\n', Human:  (tuple[str, ...])" in lines
    assert "  base.source = ''  (str)" in lines
    assert max(map(len, lines)) <= 80
    assert all(any(source in line for line in lines) for source in mixture)


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
        options.check_overrides([f'--config.{asked}=1'], TUNED)


def test_a_section_names_its_keys_and_what_is_like_nothing_names_none():
    with pytest.raises(InputError, match='config.mesh is a section; set one of its keys: config.mesh.data, config.mes'):
        options.check_overrides(['--config.mesh=1'], TUNED)
    with pytest.raises(InputError, match='unknown key config.qqqqqq; --help lists all keys'):
        options.check_overrides(['--config.qqqqqq=1'], TUNED)


def test_the_last_config_that_is_named_counts_as_it_does_for_the_flag():
    assert options.config_path(['--config=a.py', '--mode=list', '-config', 'b.py']) == 'b.py'


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ('def get_config(:', 'SyntaxError: invalid syntax'),
        ('x = 1', "KeyError: 'get_config'"),
        ('def get_config():\n    raise SystemExit(3)', 'SystemExit: 3'),
        ('def get_config():\n    return 3', 'get_config() gives no jaxshift.config.Experiment; see configs/demo.py'),
        (
            'from jaxshift.config import Experiment, Run\n'
            'def get_config():\n    return Experiment(runs={"a": Run(epochs="3")})',
            "config.runs.a.epochs is '3'; it must be a finite number",
        ),
    ],
)
def test_a_config_file_that_is_wrong_is_named(tmp_path, content, said):
    path = tmp_path / 'mine.py'
    path.write_text(content)
    with pytest.raises(InputError, match='mine.py: ') as caught:
        options.load(str(path))
    assert said in str(caught.value)


def test_a_file_that_is_no_python_is_named_in_the_list_of_configs(tmp_path):
    (tmp_path / 'bad.py').write_text('def get_config(:')
    with pytest.raises(InputError, match='bad.py: not Python'):
        options.config_files(tmp_path)


def test_lists_may_be_typed_with_commas():
    asked = ['--config.runs.lora.targets=q_proj,k_proj , v_proj', '--config.data.mixture="a,b"', '--mode=run']
    typed = options.list_texts(asked, TUNED)
    assert typed[0] == "--config.runs.lora.targets=('q_proj', 'k_proj', 'v_proj')"
    assert typed[1:] == asked[1:]


def test_a_stage_alone_takes_data_and_prompts_of_its_workdir(tmp_path):
    recorded = tmp_path / 'experiment.json'
    options.complete(TUNED, recorded)  # nothing is there yet
    assert config.Experiment(runs={'lora': config.Run()}) == TUNED
    before = config.Experiment(
        data=config.Data(source='file:a', mixture=('file:b@2',)), prompts=config.Prompts(source='file:p')
    )
    recorded.write_text(json.dumps({'config': dataclasses.asdict(before)}))
    alone = config.Experiment()
    options.complete(alone, recorded)
    assert (alone.data, alone.prompts) == (before.data, before.prompts)
    named = config.Experiment(data=config.Data(source='file:c'), prompts=config.Prompts(source='file:q'))
    options.complete(named, recorded)
    assert (named.data.source, named.data.mixture, named.prompts.source) == ('file:c', (), 'file:q')


def test_texts_that_end_a_response_keep_their_blanks_and_newlines():
    asked = ['--config.respond.stop=\n\n, Human:', '--config.respond.stop=']
    assert options.list_texts(asked, TUNED) == [
        "--config.respond.stop=('\\n\\n', ' Human:')",
        '--config.respond.stop=()',
    ]


def test_several_patterns_may_be_typed(tmp_path):
    asked = '--config.runs.lora.rank_pattern=q_proj=4,v_proj=0'
    assert "rank_pattern has 'v_proj=0'" in start(DEMO, asked, f'--workdir={tmp_path}').error()
