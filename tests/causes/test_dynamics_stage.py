"""Runs followed through their checkpoints as a user asks for it, on a tiny world."""

import csv
import json
import shutil

import pytest
from commandline import TINY, start

STEPS = {'lora': [0, 2, 4, 8], 'full': [0, 2, 4, 6]}


@pytest.fixture(scope='module')
def followed(finished, tmp_path_factory):
    """A workdir of two runs that keep checkpoints, with its report; the base is that of `finished`."""
    folder = tmp_path_factory.mktemp('followed') / 'copy'
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns('runs', 'report', 'responses.jsonl'))
    for path in (folder / 'done').iterdir():
        if path.stem not in ('world', 'data', 'base'):
            path.unlink()
    kept = [f'--config.runs.{run}.keep_steps=2,4' for run in STEPS]
    ended = start(
        *TINY, *kept, f'--workdir={folder}', '--config.runs.lora.max_steps=8', '--config.sweep.steps=2,4',
        '--config.causes.analyses=truth,dynamics', '--config.judge.kind=',
    )  # fmt: skip
    assert ended.code == 0, ended.err
    return folder


def read(folder, run, name):
    return json.loads((folder / f'runs/{run}/{name}').read_text())


@pytest.mark.parametrize('run', STEPS)
def test_every_checkpoint_has_its_loss_its_answers_and_its_shift(followed, run):
    points, truth = read(followed, run, 'causes/dynamics.json')['points'], read(followed, run, 'causes/truth.json')
    assert [point['step'] for point in points] == STEPS[run]
    assert points[0]['answers']['held_out_accuracy'] == truth['base_held_out_accuracy']
    assert points[-1]['answers']['held_out_accuracy'] == truth['held_out_accuracy']
    assert points[-1]['loss'] < points[0]['loss']
    swept = {item['step']: item for item in read(followed, run, 'summary.json')}
    for point in points[1:]:
        assert point['all'] == swept[point['step']]['all']
        mean = sum(point['kl_sums']) / sum(point['positions'])
        assert mean == pytest.approx(point['all']['kl_tuned_base']['mean'], rel=1e-5)


def test_all_runs_begin_at_the_loss_of_the_base(followed):
    first, second = (read(followed, run, 'causes/dynamics.json')['points'][0]['loss'] for run in STEPS)
    assert first == pytest.approx(second, rel=1e-6)


def test_the_page_compares_them_where_they_are_alike(followed):
    assert 'During training' in (followed / 'report/index.html').read_text()
    with (followed / 'report/tables/matched.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert {row['equal'] for row in rows} >= {'training loss', 'KL'}
    (loss,) = [row for row in rows if row['equal'] == 'training loss']
    assert float(loss['full_loss']) == pytest.approx(float(loss['lora_loss']))
    assert float(loss['kl_ratio']) == pytest.approx(
        float(loss['full_kl_tuned_base']) / float(loss['lora_kl_tuned_base']), rel=1e-4
    )
