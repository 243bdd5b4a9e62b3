"""`--mode=evaluate` on two checkpoints, first without torch and without a network, as a user starts it."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from commandline import COMPARE, ROOT, start
from lm_eval import tasks as their_tasks
from local_tasks import CHOICE, GENERATE, write_task

from jaxshift.config import Evaluate
from jaxshift.errors import InputError
from jaxshift.evaluate import harness
from jaxshift.store import jsonl

ALONE = """
import socket, sys
from importlib.machinery import PathFinder

found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == 'torch' else found(name, *rest)

def no_network(*address):
    raise OSError(f'asked the network for {address}')

socket.getaddrinfo = socket.create_connection = no_network
import run
code = run.guarded(sys.argv)
assert 'torch' not in sys.modules
sys.exit(code)
"""


@pytest.fixture(scope='module')
def given(checkpoint, torch_llama, speaker, tmp_path_factory):
    """What is asked for: base and a tuned model nearby."""
    folder, base = tmp_path_factory.mktemp('tuned'), checkpoint[1]
    tuned = torch_llama(max_position_embeddings=48, vocab_size=len(speaker))
    with torch.no_grad():
        for parameter, value in zip(tuned.parameters(), base.parameters(), strict=True):
            parameter.copy_(value + 0.05 * torch.randn_like(value))
    tuned.save_pretrained(folder)
    speaker.save_pretrained(folder)
    prompts = folder / 'prompts.json'
    prompts.write_text(json.dumps([{'instruction': 'the sun'}, {'instruction': 'sea'}]))
    return (
        COMPARE, f'--config.base.source=dir:{checkpoint[0]}', f'--config.runs.tuned.source=dir:{folder}',
        f'--config.prompts.source=file:{prompts}', '--config.evaluate.limit=20', '--config.respond.max_new_tokens=4',
        '--config.sweep.bootstrap=50',
    )  # fmt: skip


def named(*paths):
    return f'--config.evaluate.tasks={",".join(map(str, paths))}'


@pytest.fixture(scope='module')
def evaluated(given, tasks, tmp_path_factory):
    """(workdir, what was printed)."""
    folder = tmp_path_factory.mktemp('evaluated')
    environment = os.environ | {'PYTHONPATH': str(ROOT), 'HF_DATASETS_CACHE': str(folder / 'cache')}
    for name in ('HF_HUB_OFFLINE', 'HF_DATASETS_OFFLINE'):
        environment.pop(name, None)
    ended = subprocess.run(
        [sys.executable, '-c', ALONE, *given, named(*tasks.values()), f'--workdir={folder}', '--mode=evaluate'],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return folder, ended.stdout


def samples(folder, task):
    (path,) = folder.glob(f'*/samples_{task}_*.jsonl')
    return jsonl.read(path)


def rows(folder):
    found = json.loads((folder / 'runs/tuned/evaluate/forgetting.json').read_text())['rows']
    return {(row['task'], row['metric']): row for row in found}


def test_results_and_samples_lie_as_the_harness_lays_them(evaluated, tasks):
    folder, out = evaluated
    for place, name in (('base', 'base'), ('runs/tuned', 'tuned')):
        written = sorted(path.name for path in (folder / place / 'evaluate' / name).iterdir())
        assert [re.sub(r'\d.*\d', 'TIME', path) for path in written] == [
            'results_TIME.json', 'samples_choice_TIME.jsonl', 'samples_generate_TIME.jsonl',
            'samples_rolling_TIME.jsonl',
        ]  # fmt: skip
        (path,) = (folder / place / 'evaluate').glob('*/results_*.json')
        results = json.loads(path.read_text())
        assert set(results['results']) == set(tasks)
        assert results['n-samples']['choice']['effective'] == 20
        assert results['config']['model_num_parameters'] > 0
        accuracy = results['results']['choice']['acc,none']
        assert accuracy == np.mean([each['acc'] for each in samples(folder / place / 'evaluate', 'choice')])
        assert f'evaluate {name}: choice: acc {accuracy:.4g} ± ' in out
    assert re.search(r'evaluate base: [1-9]\d* requests were cut from the left, to 48 tokens', out)


def test_forgetting_pairs_the_samples_of_both(evaluated):
    folder, _ = evaluated
    found = rows(folder)
    assert set(found) == {
        ('choice', 'acc'), ('choice', 'acc_norm'), ('rolling', 'word_perplexity'), ('generate', 'exact_match')
    }  # fmt: skip
    both = [samples(folder / place / 'evaluate', 'choice') for place in ('base', 'runs/tuned')]
    base, tuned = (np.array([each['acc'] for each in side]) for side in both)
    row = found['choice', 'acc']
    assert (row['base'], row['tuned'], row['n'], row['unpaired']) == (base.mean(), tuned.mean(), 20, 0)
    assert row['difference'] == pytest.approx((tuned - base).mean())
    texts = [samples(folder / place / 'evaluate', 'rolling') for place in ('base', 'runs/tuned')]
    base, tuned = (np.array([each['word_perplexity'] for each in side]) for side in texts)
    row = found['rolling', 'word_perplexity']
    assert row['unit'] == 'nats per word'
    assert row['difference'] == pytest.approx((base[:, 0].sum() - tuned[:, 0].sum()) / base[:, 1].sum())
    assert row['interval'][0] < row['difference'] < row['interval'][1]


def test_nothing_is_evaluated_twice_but_what_changed(evaluated, given, tasks, tmp_path):
    folder, _ = evaluated
    again = start(*given, named(*tasks.values()), f'--workdir={folder}', '--mode=evaluate')
    assert again.code == 0, again.err
    assert again.out.count(': done before') == 3
    assert 'samples' not in again.out


def test_a_changed_task_is_evaluated_anew_and_the_page_shows_what_was_forgotten(given, tmp_path):
    items = [{'question': 'the sun', 'choices': ['is red', 'is'], 'gold': i % 2, 'text': 'one two'} for i in range(4)]
    path = write_task(tmp_path, 'small', CHOICE, items)
    asked = (*given, named(path), f'--workdir={tmp_path / "W"}')
    first = start(*asked)
    assert first.code == 0, first.err
    page = (tmp_path / 'W/report/index.html').read_text()
    assert '>What was forgotten</h2>' in page
    text = re.sub('<[^>]*>', ' ', page)
    assert re.search(r'small +acc +higher +0[.]500 ', text)
    assert (tmp_path / 'W/report/tables/forgetting.csv').is_file()
    write_task(tmp_path, 'small', CHOICE, items[:2])
    second = start(*asked)
    assert 'evaluate base: task_files' in second.out
    assert rows(tmp_path / 'W')['small', 'acc']['n'] == 2
    assert len([*(tmp_path / 'W/base/evaluate').glob('*/results_*')]) == 1


@pytest.mark.parametrize(
    ('asked', 'said'),
    [
        ((), 'config.evaluate.tasks is empty; name tasks'),
        (('--config.evaluate.tasks=no.yaml',), 'has no.yaml: no such file'),
        (('--config.evaluate.tasks=sums,maths',), "has 'maths', which is neither a file nor a task of lm-eval"),
        (('--config.evaluate.tasks=a,a',), 'config.evaluate.tasks names one twice'),
        (('--config.evaluate.num_fewshot=-2',), 'config.evaluate.num_fewshot is -2'),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(given, tmp_path, monkeypatch, asked, said):
    known = type('Known', (), {'task_index': {'sums': None}})()
    monkeypatch.setattr(their_tasks, 'TaskManager', lambda **kwargs: known)  # the whole index takes long
    ended = start(*given, *asked, f'--workdir={tmp_path}', '--mode=evaluate')
    assert ended.code == 2
    assert said in ended.error()


def test_without_the_harness_its_extra_is_named(given, tasks, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lm_eval', None)
    ended = start(*given, named(tasks['choice']), f'--workdir={tmp_path}', '--mode=evaluate')
    assert ended.code == 2
    assert "pip install 'jaxshift[evaluate]'" in ended.error()


def test_a_broken_task_is_named(given, tasks, tmp_path):
    path = write_task(tmp_path, 'broken', 'output_type: multiple_choice\n', [{'question': 'x'}])
    (tmp_path / 'broken.json').unlink()
    ended = start(*given, named(path), f'--workdir={tmp_path / "W"}', '--mode=evaluate')
    assert ended.code == 2
    assert 'broken.yaml cannot be loaded' in ended.err


def test_a_task_whose_data_the_hub_would_have_is_one_line_without_it(tmp_path, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    path = tmp_path / 'far.yaml'
    path.write_text('task: far\ndataset_path: owner/none\ntest_split: test\n' + CHOICE)
    with pytest.raises(InputError, match=r"far.yaml cannot be loaded \(Couldn't reach 'owner/none' .*; reach the hub"):
        harness.run(None, Evaluate(tasks=(str(path),)))


def test_the_seed_draws_examples_and_answers(given, tasks, tmp_path):
    records = json.loads(tasks['generate'].with_suffix('.json').read_text())[:12]
    shown = write_task(tmp_path, 'shown', CHOICE + 'num_fewshot: 2\n', records)
    told = GENERATE.replace('until: ["red", "sea tree"]', 'do_sample: true\n  temperature: 2.0')
    asked = (*given, named(shown, write_task(tmp_path, 'drawn', told, records)), f'--workdir={tmp_path / "W"}')
    found = []
    for seed in (1, 2):
        ended = start(*asked, '--mode=evaluate', f'--config.evaluate.seed={seed}', '--config.evaluate.limit=4')
        assert ended.code == 0, ended.err
        found.append({task: samples(tmp_path / 'W/base/evaluate', task) for task in ('shown', 'drawn')})
    assert 'evaluate base: evaluate.seed (1, now 2) has changed' in ended.out
    one, other = found
    assert [each['arguments'] for each in one['drawn']] == [each['arguments'] for each in other['drawn']]
    assert [each['resps'] for each in one['drawn']] != [each['resps'] for each in other['drawn']]
    assert [each['arguments'] for each in one['shown']] != [each['arguments'] for each in other['shown']]


def test_every_file_of_a_task_counts(tmp_path):
    (tmp_path / 'inner').mkdir()
    path = write_task(tmp_path / 'inner', 'task', 'include: ../common.yaml\n', [1])
    (tmp_path / 'common.yaml').write_text('output_type: multiple_choice\n')
    (tmp_path / 'inner/utils.py').write_text('one = 1\n')
    seen = {harness.fingerprints([str(path)])[str(path)]}
    for each in (path, path.with_suffix('.json'), tmp_path / 'common.yaml', tmp_path / 'inner/utils.py'):
        each.write_text(each.read_text() + '\n')
        seen.add(harness.fingerprints([str(path)])[str(path)])
    assert len(seen) == 5


def test_every_task_of_a_group_beside_it_counts(tmp_path):
    write_task(tmp_path, 'task', CHOICE, [1])
    group = tmp_path / 'group.yaml'
    group.write_text('group: both\ntask: [task]\n')
    before = harness.fingerprints([str(group)])
    (tmp_path / 'task.json').write_text('[2]')
    assert harness.fingerprints([str(group)]) != before
