"""Sources of every kind through the data stage and the prompts, from the command line."""

import json
import re
import shutil

import pytest
from commandline import COMPARE, ROOT, start

from jaxshift import config
from jaxshift.data import dataset
from jaxshift.devices.process import StopSignal
from jaxshift.errors import InputError
from jaxshift.store import jsonl
from jaxshift.store.paths import Workdir
from jaxshift.study import Study

TRAIN = f'--config={ROOT / "configs/smollm2_135m.py"}'


@pytest.fixture
def files(tmp_path):
    """An alpaca file with a bad record, a table with columns of its own, and a document."""
    folder = tmp_path / 'files'
    folder.mkdir()
    good = [{'instruction': f'the capital {number}', 'output': 'Paris'} for number in range(4)]
    (folder / 'a.json').write_text(json.dumps([*good, {'instruction': 'x', 'output': 5}]))
    (folder / 'b.csv').write_text('ask,reply\n' + ''.join(f'capital of France {n},is Paris\n' for n in range(4)))
    (folder / 'c.txt').write_text('the capital of France is Paris ' * 20)
    return folder


@pytest.fixture
def mixed(saved, files, tmp_path):
    def begin(*more: str):
        return start(
            TRAIN, f'--config.base.source=dir:{saved[0]}', f'--config.data.source=file:{files}/a.json',
            f'--config.data.mixture=file:{files}/b.csv@0.5,file:{files}/c.txt@2', '--config.data.template=paper',
            '--config.data.columns=question=ask,answer=reply', '--config.data.max_length=32',
            '--config.data.on_bad_record=skip', f'--workdir={tmp_path / "work"}', *more,
        )  # fmt: skip

    return begin


def counts(tmp_path) -> dict:
    return json.loads((tmp_path / 'work/data/counts.json').read_text())


def test_a_mixture_is_read_counted_and_kept(mixed, files, tmp_path):
    ended = mixed('--mode=data')
    assert ended.code == 0, ended.err
    for line in ('a.json: 4 examples of format alpaca', 'b.csv: 2 examples of format question_answer', '1 refused'):
        assert line in ended.out
    found = dataset.open_dataset(tmp_path / 'work/data')
    assert found.counts == counts(tmp_path)
    taken = {source.rpartition('/')[2]: each['examples'] for source, each in found.counts['sources'].items()}
    assert taken == {'a.json': 4, 'b.csv': 2, 'c.txt': 2}
    assert found.counts['refused'] == {'output: is a number, not a text': 1}
    where = f'{files}/a.json: record 4 (the first is 0)'
    reason = 'output: is a number, not a text'
    assert jsonl.read(tmp_path / 'work/data/refused.jsonl') == [{'where': where, 'reason': reason}]
    ids = [found[index].example_id for index in range(len(found))]
    assert len(set(ids)) == len(ids)
    assert ids[:4] == [f'a.json:{number}' for number in range(4)]
    assert ids[-1].startswith('c.txt:0#2/')


def test_a_changed_source_or_draw_makes_the_data_again(mixed, files, tmp_path):
    assert mixed('--mode=data').code == 0
    made = (tmp_path / 'work/data/counts.json').stat().st_mtime_ns
    assert mixed('--mode=data').code == 0
    assert (tmp_path / 'work/data/counts.json').stat().st_mtime_ns == made
    with (files / 'b.csv').open('a') as table:
        table.write('capital,Paris\ncapital,Paris\n')
    ended = mixed('--mode=data')
    assert 'b.csv: 3 examples' in ended.out
    assert mixed('--mode=data', '--config.data.subset=3').code == 0
    assert sum(each['examples'] for each in counts(tmp_path)['sources'].values()) == 3


def test_prompts_that_ask_nothing_are_refused_before_training(saved, files, tmp_path):
    ended = start(
        TRAIN, f'--config.base.source=dir:{saved[0]}', f'--config.data.source=file:{files}/c.txt',
        '--config.data.template=paper', '--config.data.max_length=32', f'--workdir={tmp_path / "work"}',
    )  # fmt: skip
    assert ended.code == 2
    assert 'c.txt:1: plain text and token ids ask nothing; give prompts.source=file:PATH' in ended.error()
    assert not list((tmp_path / 'work').glob('runs/*/checkpoints'))


def test_another_token_at_the_end_is_another_tokenizer(saved, tmp_path):
    hashes = set()
    for token in ('</s>', 'Paris'):
        folder = shutil.copytree(saved[0], tmp_path / str(len(hashes)))
        settings = json.loads((folder / 'tokenizer_config.json').read_text())
        (folder / 'tokenizer_config.json').write_text(json.dumps(settings | {'eos_token': token}))
        asked = config.Experiment(base=config.Base(source=f'dir:{folder}'))
        hashes.add(Study(asked, Workdir(tmp_path), (), StopSignal(), print).tokenizer_hash)
    assert len(hashes) == 2


@pytest.fixture
def respond(saved, tmp_path):
    """Answers prompts with a model that was tuned elsewhere."""

    def begin(*more: str):
        return start(
            COMPARE, f'--config.base.source=dir:{saved[0]}', f'--config.runs.tuned.source=dir:{saved[0]}',
            '--config.respond.max_new_tokens=2', '--config.data.template=paper', '--mode=respond',
            f'--workdir={tmp_path / "work"}', *more,
        )  # fmt: skip

    return begin


def answered(tmp_path) -> list[str]:
    return [row['example_id'] for row in jsonl.read(tmp_path / 'work/runs/tuned/responses.jsonl')]


def test_prompts_have_columns_of_their_own(respond, files, tmp_path):
    source = f'--config.prompts.source=file:{files}/b.csv'
    ended = respond(source, '--config.prompts.columns=question=ask', '--config.prompts.limit=2')
    assert ended.code == 0, ended.err
    assert answered(tmp_path) == ['0', '1']


def test_prompts_of_a_mixture_are_asked_once_each(respond, files, tmp_path):
    mixture = f'--config.data.mixture=file:{files}/b.csv@2,file:{files}/a.json@0.5'
    options = ('--config.data.columns=question=ask,answer=reply', '--config.data.on_bad_record=skip')
    ended = respond(mixture, *options)
    assert ended.code == 0, ended.err
    *table, first, second = answered(tmp_path)
    assert table == [f'b.csv:{number}' for number in range(4)]
    assert first < second
    assert {first, second} < {f'a.json:{number}' for number in range(4)}


def test_prompts_that_ask_nothing_are_named(respond, files):
    ended = respond(f'--config.prompts.source=file:{files}/c.txt')
    assert ended.code == 2
    assert 'c.txt:1: plain text and token ids ask nothing; give prompts.source' in ended.error()


def test_a_prompt_that_does_not_fit_is_named_or_left_out(respond, files, tmp_path):
    long = {'instruction': 'the capital ' * 100}
    (files / 'd.jsonl').write_text('{"instruction": "the capital"}\n' + json.dumps(long))
    source = f'--config.prompts.source=file:{files}/d.jsonl'
    ended = respond(source)
    assert ended.code == 2
    assert 'd.jsonl:2: prompt 1: ' in ended.error()
    assert 'tokens do not fit the context of 128; shorten the prompt or leave it out' in ended.error()
    ended = respond(source, '--config.data.on_bad_record=skip')
    assert ended.code == 0, ended.err
    assert 'prompts: left out ' in ended.out
    assert answered(tmp_path) == ['0']


def test_a_prompt_that_is_left_out_is_named(respond, files, tmp_path):
    ended = respond(f'--config.prompts.source=file:{files}/a.json', '--config.data.on_bad_record=skip')
    assert ended.code == 0, ended.err
    where = f'{files}/a.json: record 4 (the first is 0)'
    assert f'prompts: left out {where}: output: is a number, not a text' in ended.out
    assert len(answered(tmp_path)) == 4


def experiment(**data) -> config.Experiment:
    return config.Experiment(base=config.Base(source='dir:base'), data=config.Data(**data), runs={'lora': config.Run()})


def test_a_mixture_is_data_enough():
    config.check(experiment(mixture=('file:a@b.json@0.5', 'tfds:n:1.0.0:train@2')))


@pytest.mark.parametrize(
    ('data', 'said'),
    [
        ({'source': 'file:a', 'max_length': 1}, 'config.data.max_length is 1; it must be at least 2'),
        ({'source': 'file:a', 'columns': ('output',)}, "config.data.columns has 'output'; write FIELD=COLUMN"),
        ({'mixture': ('file:a',)}, "config.data.mixture has 'file:a'; write SOURCE@WEIGHT"),
        ({'mixture': ('file:a@0.0',)}, "has 'file:a@0.0'; write SOURCE@WEIGHT, with a weight above 0"),
        ({'mixture': ('file:a@1', 'file:a@2')}, 'config.data.mixture has a source that is given before'),
        ({'source': 'file:a', 'mixture': ('file:a@2',)}, 'has a source that is given before'),
        ({'mixture': ('world:@1',)}, 'config.world is not set'),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_before_any_work(data, said):
    with pytest.raises(InputError, match=re.escape(said)):
        config.check(experiment(**data))
