"""A whole study on a tiny controlled world: the workdir, going on after a stop, and doing again what has changed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commandline import COMPARE, ROOT, TINY, start


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A workdir in which every stage is done."""
    folder = tmp_path_factory.mktemp('finished')
    ended = start(*TINY, f'--workdir={folder}')
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    """The same, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / 'copy'))


def stages(out: str, said: str) -> list[str]:
    return [line.partition(':')[0] for line in out.splitlines() if said in line]


def test_the_workdir_holds_what_other_tools_read(finished):
    for name in (
        'experiment.json', 'base/config.json', 'base/model.safetensors', 'base/tokenizer.json', 'base/responses.jsonl',
        'data/dataset_info.json', 'data/counts.json', 'runs/lora/adapter/adapter_config.json',
        'runs/lora/adapter/adapter_model.safetensors', 'report/index.html', 'report/tables/runs.csv',
        'report/tables/runs.parquet', 'report/figures/loss.svg', 'report/figures/loss.png',
    ):  # fmt: skip
        assert (finished / name).is_file(), name
    for run in ('lora', 'full'):
        folder = finished / 'runs' / run
        for name in (
            'metrics.jsonl',
            'responses.jsonl',
            'summary.json',
            'causes/truth.json',
            'tokens/part-00000.parquet',
        ):
            assert (folder / name).is_file(), name
        steps = [path for path in (folder / 'checkpoints').iterdir() if path.is_dir()]
        assert all((step / 'MANIFEST.json').is_file() for step in steps)
    described = json.loads((finished / 'experiment.json').read_text())
    assert {'config', 'config_hash', 'command', 'versions', 'devices'} <= described.keys()
    assert described['config']['world']['known_people'] == 24


def test_list_shows_which_stages_are_done(finished):
    out = start('--mode=list', f'--workdir={finished}').out
    assert '  train    done full, lora\n' in out
    assert '  respond  done base, full, lora\n' in out


def test_a_second_start_finds_everything_done(finished):
    before = {path: path.stat().st_mtime_ns for path in (finished / 'runs').rglob('*')}
    begun = time.monotonic()
    ended = start(*TINY, f'--workdir={finished}')
    assert ended.code == 0
    assert time.monotonic() - begun < 20
    names = [path.stem.replace('-', ' ') for path in (finished / 'done').iterdir()]
    assert sorted(stages(ended.out, 'done before')) == sorted(names), ended.out
    assert before == {path: path.stat().st_mtime_ns for path in (finished / 'runs').rglob('*')}


def test_training_that_was_stopped_goes_on_to_the_same_result(finished, copy):
    shutil.rmtree(copy / 'runs')
    shutil.rmtree(copy / 'report')
    for path in (copy / 'done').iterdir():
        if path.stem not in ('world', 'data', 'base'):
            path.unlink()
    command = (*TINY, f'--workdir={copy}', '--only=lora', '--config.runs.lora.log_every=1')
    process = subprocess.Popen([sys.executable, ROOT / 'run.py', *command], stderr=subprocess.PIPE, text=True)
    metrics = copy / 'runs/lora/metrics.jsonl'
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count('\n') >= 3):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 75
    assert 'start the same command again to go on' in err
    assert 'train    begun lora' in start('--mode=list', f'--workdir={copy}').out

    ended = start(*command)
    assert ended.code == 0, ended.err
    assert 'going on from step' in ended.out
    for name in ('adapter/adapter_model.safetensors', 'responses.jsonl', 'summary.json'):
        path = Path('runs/lora') / name
        assert (copy / path).read_bytes() == (finished / path).read_bytes(), name
    assert [json.loads(line)['step'] for line in metrics.read_text().splitlines()] == list(range(1, 151))


def test_lost_responses_are_made_again(copy):
    path = copy / 'runs/lora/responses.jsonl'
    whole = path.read_text()
    path.write_text(''.join(whole.splitlines(keepends=True)[:5]))
    ended = start(*TINY, f'--workdir={copy}')
    assert ended.code == 0, ended.err
    assert stages(ended.out, 'doing it again') == ['respond lora']
    assert path.read_text() == whole


def test_other_settings_of_the_sweep_redo_it_and_what_follows(copy):
    ended = start(*TINY, f'--workdir={copy}', '--config.sweep.top_k=3')
    assert ended.code == 0, ended.err
    assert 'sweep lora: sweep.top_k (10, now 3) has changed; doing it again' in ended.out
    again = stages(ended.out, 'doing it again')
    assert again == ['sweep lora', 'sweep full', 'causes lora', 'causes full', 'report']


def test_other_settings_of_training_are_refused(copy):
    before = (copy / 'runs/lora/metrics.jsonl').read_bytes(), (copy / 'experiment.json').read_bytes()
    ended = start(*TINY, f'--workdir={copy}', '--config.runs.lora.learning_rate=1e-4')
    assert ended.code == 2
    assert 'train lora was made with another run.learning_rate (0.002, now 0.0001)' in ended.error()
    assert 'give another --workdir' in ended.error()
    assert ((copy / 'runs/lora/metrics.jsonl').read_bytes(), (copy / 'experiment.json').read_bytes()) == before


def test_another_world_is_refused_before_anything_is_written(copy):
    before = (copy / 'data/world/facts.json').read_bytes()
    ended = start(*TINY, f'--workdir={copy}', '--config.world.seed=1')
    assert ended.code == 2
    assert 'world was made with another world.seed (0, now 1)' in ended.error()
    assert (copy / 'data/world/facts.json').read_bytes() == before


def test_a_checkpoint_compared_with_itself_has_not_shifted(finished, tmp_path):
    ended = start(
        COMPARE,
        f'--config.base.source=dir:{finished}/base',
        f'--config.runs.tuned.source=dir:{finished}/base',
        f'--config.prompts.source=file:{finished}/data/world/prompts.json',
        '--config.respond.max_new_tokens=8',
        f'--workdir={tmp_path / "compared"}',
    )
    assert ended.code == 0, ended.err
    (found,) = json.loads((tmp_path / 'compared/runs/tuned/summary.json').read_text())
    measured = found['all']
    assert measured['positions'] > 0
    assert measured['kl_tuned_base']['mean'] == 0
    assert measured['kl_base_tuned']['mean'] == 0
    assert measured['base_rank']['mean'] == 1
    assert (tmp_path / 'compared/report/index.html').is_file()
