"""Trackers beside metrics.jsonl: what they are given, and that a run which goes on stays one run."""

import json
import struct
import sys
import time

import pytest
import wandb
from commandline import TINY, start
from wandb.proto import wandb_internal_pb2

from jaxshift.errors import InputError
from jaxshift.store.metrics import Metrics
from jaxshift.store.trackers import Told

TOLD = Told(('wandb',), 'A study: two words', 'lora', {'run': {'rank': 8}})


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'offline')


def parts(data):
    """The records of a .wandb file, which is a log of LevelDB: blocks of 32 KiB, a CRC, length and type before each."""
    at, whole = 7, b''
    while len(data) - at > 7:
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from('<HB', data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b''


def records(folder):
    """What W&B would send of each of its offline folders, oldest first."""
    paths = sorted(folder.glob('wandb/offline-run-*/*.wandb'), key=lambda path: path.parent.name)
    for path in paths:
        found = []
        until = time.monotonic() + 60
        while not found or found[-1].WhichOneof('record_type') != 'exit':  # W&B's service writes by itself
            assert time.monotonic() < until, f'{path} is not finished'
            time.sleep(0.05)
            found = [wandb_internal_pb2.Record.FromString(part) for part in parts(path.read_bytes())]
        yield found


def history(found):
    rows = []
    for record in found:
        if record.WhichOneof('record_type') == 'history':
            items = {item.key or '/'.join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            rows.append(items)
    return rows


def test_wandb_gets_names_steps_and_settings_and_a_run_that_goes_on_is_one_run(tmp_path):
    log = Metrics(tmp_path, 0, (), TOLD)
    log.write(1, {'loss': 2.0, 'mfu': None})
    log.write(2, {'loss': 1.0, 'eval_loss': 3.0})
    log.close()
    again = Metrics(tmp_path, 2, log.rows, TOLD)
    again.write(3, {'loss': 0.5})
    again.close()
    first, second = records(tmp_path)
    shown = [{key: value for key, value in row.items() if '/' in key or key == '_step'} for row in history(first)]
    assert shown == [{'_step': 1, 'train/loss': 2.0}, {'_step': 2, 'train/loss': 1.0, 'eval/loss': 3.0}]
    assert [(row['_step'], row['train/loss']) for row in history(second)] == [(3, 0.5)]
    runs = [record.run for found in (first, second) for record in found if record.WhichOneof('record_type') == 'run']
    assert len({run.run_id for run in runs}) == 1
    assert (runs[0].display_name, runs[0].project) == ('lora', 'A-study--two-words')
    told = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in runs[0].config.update}
    assert told['run'] == {'rank': 8}
    assert not (tmp_path / 'tensorboard').exists()


def test_a_run_that_begins_anew_has_another_id(tmp_path):
    ids = []
    for _ in range(2):
        Metrics(tmp_path, 0, (), TOLD).close()
        ids.append((tmp_path / 'wandb/run_id').read_text())
    assert ids[0] != ids[1]


def test_without_a_tracker_metrics_jsonl_is_written_alone(tmp_path):
    log = Metrics(tmp_path, 0, (), Told(()))
    log.write(1, {'loss': 2.0})
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ['metrics.jsonl']


def test_only_process_0_has_trackers(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.process_index', lambda: 1)
    log = Metrics(tmp_path, 0, (), TOLD)
    log.write(1, {'loss': 1.0})
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_where_wandb_cannot_begin_the_way_out_is_told(tmp_path, monkeypatch):
    def init(**asked):
        raise wandb.errors.UsageError('No API key configured.\nand much more')

    monkeypatch.setattr(wandb, 'init', init)
    with pytest.raises(InputError, match=r'wandb, which cannot begin \(No API key configured.\); .*WANDB_MODE=offline'):
        Metrics(tmp_path, 0, (), TOLD)


def test_where_wandb_is_absent_the_way_to_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    with pytest.raises(InputError, match=r"wandb, which is absent; pip install 'jaxshift\[wandb\]'"):
        Metrics(tmp_path, 0, (), TOLD)


def test_a_study_hands_its_trackers_to_every_run(copy):
    for path in ('runs/full', 'done/train-full.json'):
        target = copy / path
        target.rename(copy / target.name)
    asked = (*TINY, f'--workdir={copy}', '--mode=train', '--only=full')
    ended = start(*asked, '--config.trackers=wandb')
    assert ended.code == 0, ended.err
    assert not (copy / 'runs/full/tensorboard').exists()
    (found,) = records(copy / 'runs/full')
    rows = [json.loads(line) for line in (copy / 'runs/full/metrics.jsonl').read_text().splitlines()]
    assert [row['train/loss'] for row in history(found)] == [row['loss'] for row in rows]
    assert 'done before' in start(*asked).out  # another tracker changes nothing of what was learnt
    refused = start(*asked, '--config.trackers=mlflow')
    assert "config.trackers has 'mlflow'; write tensorboard or wandb, or nothing" in refused.error()
