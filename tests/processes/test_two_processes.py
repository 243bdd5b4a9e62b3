"""Two processes of four virtual devices each, on loopback, against one process of one device."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from commandline import ROOT, TINY, start
from virtual import environment, free_port

from jaxshift.shift import records

MESH = ('--config.mesh.data=4', '--config.mesh.fsdp=2')
RUNS = ('lora', 'full')
LORA = ('--only=lora', '--config.runs.lora.log_every=1', '--config.runs.lora.max_steps=30')
WINDOWS = ('--config.sweep.context_lengths=-1,8', '--config.sweep.top_k=5')  # two parts
LIMIT = 300  # seconds after which a process that hangs is given up


class Pair(NamedTuple):
    """Two processes that run, and the lists of the files that each will have written."""

    processes: list[subprocess.Popen]
    logs: list[Path]

    def ended(self):
        """[(exit code, stdout, stderr)] of both."""
        try:
            said = [process.communicate(timeout=LIMIT) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        return [(process.returncode, *texts) for process, texts in zip(self.processes, said, strict=True)]

    def written(self):
        """What each has written, but for the cache of compilations."""
        return [{line for line in log.read_text().splitlines() if '/compiled/' not in line} for log in self.logs]


def begin(folder, *arguments, alone=('', ''), folders=(None, None)):
    """Starts both; `alone` are arguments, and `folders` working directories, of each by itself."""
    port = free_port()
    logs = [folder.parent / f'written-{index}' for index in range(2)]
    program = Path(__file__).with_name('logged_run.py')
    processes = [
        subprocess.Popen(
            [
                sys.executable, program, logs[index], *arguments, f'--workdir={folder}',
                f'--config.base.source=dir:{folder / "base"}',  # else its pre-training must fit the mesh too
                f'--config.process.coordinator=127.0.0.1:{port}', '--config.process.count=2',
                f'--config.process.index={index}', *filter(None, [alone[index]]),
            ],
            env=environment(4), cwd=folders[index], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for index in range(2)
    ]  # fmt: skip
    return Pair(processes, logs)


def losses(folder, run, steps):
    rows = [json.loads(line) for line in (folder / 'runs' / run / 'metrics.jsonl').read_text().splitlines()]
    assert [row['step'] for row in rows] == list(range(1, steps + 1))
    return [row['loss'] for row in rows]


def forget(folder, *stages):
    for stage in stages:
        for path in (folder / 'done').glob(f'{stage}*.json'):
            path.unlink()


def test_a_signal_to_one_stops_both_at_one_step_and_one_process_goes_on_to_the_same_losses(copy, tmp_path):
    one = Path(shutil.copytree(copy, tmp_path / 'one'))
    for folder in (copy, one):
        shutil.rmtree(folder / 'runs')
        forget(folder, 'train', 'respond', 'sweep', 'summary', 'causes', 'report')
    assert start(*TINY, *LORA, '--mode=train', f'--workdir={one}').code == 0
    pair, metrics = begin(copy, *TINY, *LORA, *MESH), copy / 'runs/lora/metrics.jsonl'
    while pair.processes[1].poll() is None and not (metrics.exists() and metrics.read_text().count('\n') >= 5):
        time.sleep(0.01)
    pair.processes[1].send_signal(signal.SIGTERM)
    for code, _, err in pair.ended():
        assert code == 75, err
        assert 'everything is saved: start the same command again to go on' in err
    stopped = metrics.read_text().count('\n')
    assert [path.name for path in (copy / 'runs/lora/checkpoints').iterdir()] == [str(stopped)]
    assert 5 <= stopped < 30

    ended = start(*TINY, *LORA, '--mode=train', f'--workdir={copy}')
    assert ended.code == 0, ended.err
    assert f'going on from step {stopped}' in ended.out
    np.testing.assert_allclose(losses(copy, 'lora', 30), losses(one, 'lora', 30), rtol=1e-5)


def test_both_train_as_one_does(copy, tmp_path):
    settings = ('log_every=1', 'max_steps=20', 'epochs=100')
    arguments = (*TINY, *(f'--config.runs.{run}.{each}' for run in RUNS for each in settings), '--mode=train')
    one = Path(shutil.copytree(copy, tmp_path / 'one'))
    for folder in (copy, one):
        shutil.rmtree(folder / 'runs')
        forget(folder, 'train', 'respond', 'sweep', 'summary', 'causes', 'report')
    assert start(*arguments, f'--workdir={one}').code == 0
    assert [code for code, *_ in begin(copy, *arguments, *MESH).ended()] == [0, 0]
    for run in RUNS:
        np.testing.assert_allclose(losses(copy, run, 20), losses(one, run, 20), rtol=1e-5, err_msg=run)


def test_both_respond_and_sweep_as_one_does_and_write_no_file_twice(finished, copy, tmp_path):
    one = Path(shutil.copytree(copy, tmp_path / 'one'))
    assert start(*TINY, '--only=lora', *WINDOWS, '--mode=sweep', f'--workdir={one}').code == 0
    (copy / 'runs/lora/responses.jsonl').unlink()
    pair = begin(copy, *TINY, '--only=lora', *MESH, *WINDOWS)
    (code, out, err), (other, _, its_err) = pair.ended()
    assert (code, other) == (0, 0), err + its_err
    assert '8 cpu in 2 processes' in out
    assert 'respond lora: runs/lora/responses.jsonl is missing; doing it again' in out

    assert (copy / 'runs/lora/responses.jsonl').read_bytes() == (finished / 'runs/lora/responses.jsonl').read_bytes()
    same, found = (records.read(folder / 'runs/lora/tokens') for folder in (one, copy))
    assert found.num_rows > 0
    for name in same.column_names:
        expected, measured = same[name].to_pylist(), found[name].to_pylist()
        if name in records.LISTS or isinstance(expected[0], float):
            np.testing.assert_allclose(measured, expected, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            assert measured == expected, name

    first, second = pair.written()
    assert not {path for path in first & second if path.startswith(str(copy))}
    assert any('runs/lora/tokens/part-00000.parquet' in path for path in first)
    assert any('runs/lora/tokens/part-00001.parquet' in path for path in second)
    assert {Path(path).name.partition('.parquet')[0] for path in second if str(copy) in path} == {'part-00001'}
    assert start('--mode=report', *TINY, '--only=lora', *WINDOWS, f'--workdir={copy}').code == 0


def test_a_process_with_another_config_ends_both(copy):
    pair = begin(copy, *TINY, *MESH, alone=('', '--config.runs.lora.learning_rate=0.5'))
    for code, _, err in pair.ended():
        assert code == 2
        assert 'error: start: process 1 has another config.runs.lora.learning_rate (0.002, there 0.5)' in err


def test_a_process_with_a_workdir_of_its_own_ends_both(copy, tmp_path):
    before = (copy / 'experiment.json').read_text()
    pair = begin(copy, *TINY, *MESH, alone=('', f'--workdir={tmp_path / "other"}'))
    for code, _, err in pair.ended():
        assert code == 2
        assert 'process 1 does not find what process 0 writes; name a folder that all processes share' in err
    assert (copy / 'experiment.json').read_text() == before


def test_a_process_with_other_data_ends_both(copy, tmp_path):
    folders = [tmp_path / name for name in ('here', 'there')]
    for folder in folders:
        folder.mkdir()
        (folder / 'data.json').write_text(json.dumps([{'instruction': 'who', 'output': folder.name}]))
    pair = begin(copy, *TINY, *MESH, '--config.data.source=file:data.json', folders=folders)
    for code, _, err in pair.ended():
        assert code == 2
        assert 'error: data: process 1 has another records' in err


@pytest.mark.parametrize('settings', [('count=2', 'index=2'), ('coordinator=nowhere',), ('count=2', 'index=0')])
def test_processes_that_cannot_meet_are_refused(settings, tmp_path):
    ended = start(*TINY, *(f'--config.process.{each}' for each in settings), f'--workdir={tmp_path}')
    assert ended.code == 2
    assert 'config.process' in ended.error()


def test_a_process_that_waits_in_vain_says_so(tmp_path):
    settings = ('coordinator=127.0.0.1:9', 'count=2', 'index=1', 'timeout=2')
    command = [sys.executable, ROOT / 'run.py', *TINY, *(f'--config.process.{each}' for each in settings)]
    ended = subprocess.run([*command, f'--workdir={tmp_path}'], capture_output=True, text=True, timeout=LIMIT)
    assert ended.returncode == 2, ended.stderr
    assert 'error: after 2 s not all 2 processes have met at 127.0.0.1:9; start the same command' in ended.stderr


@pytest.mark.parametrize(
    ('settings', 'line'),
    [
        (('data=3',), 'config.mesh: data=3, fsdp=1, tensor=1, sequence=1 does not fit 8 devices'),
        (('data=1', 'tensor=8'), 'config.mesh.tensor is 8, which does not divide the 4 attention heads and 2 key'),
        ((), 'take the config that came with the weights'),
    ],
)
def test_what_does_not_fit_ends_both_with_one_line_each(settings, line, saved, tmp_path):
    folder = tmp_path / 'work'
    shutil.copytree(saved[0], folder / 'base')
    if not settings:  # the weights are not those of their config.json
        path = folder / 'base/config.json'
        path.write_text(json.dumps(json.loads(path.read_text()) | {'intermediate_size': 128}))
    (tmp_path / 'data.json').write_text(json.dumps([{'instruction': 'the capital of France', 'output': 'Paris'}]))
    sources = (f'--config.{part}.source=file:{tmp_path / "data.json"}' for part in ('data', 'prompts'))
    mesh = (f'--config.mesh.{each}' for each in settings)
    for code, _, err in begin(folder, *TINY, *sources, *mesh, '--config.data.template=paper').ended():
        assert code == 2, err
        (said,) = [text for text in err.splitlines() if text.startswith('error: ')]
        assert line in said
