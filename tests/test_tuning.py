"""The training stage as a user meets it: what runs are given of the data, and what can be had of a finished one."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest
import safetensors.numpy
from commandline import TINY, start

from jaxshift import depends, stages, tuning
from jaxshift.data import batches, dataset, held_out
from jaxshift.errors import InputError
from jaxshift.store import checkpoint, jsonl

SETTINGS = ('runs.lora.max_steps=6', 'runs.lora.keep_steps=2,4', 'runs.lora.eval_every=3', 'data.held_out=5')
SHORT = (*TINY, *(f'--config.{setting}' for setting in SETTINGS), '--only=lora')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A workdir whose data is made, with the base."""
    made = tmp_path_factory.mktemp('trained')
    assert start(*SHORT, '--mode=data', f'--workdir={made}').code == 0
    return made


@pytest.fixture(scope='module')
def said(folder):
    """What was printed while run lora was trained in that workdir."""
    ended = start(*SHORT, '--mode=train', f'--workdir={folder}')
    assert ended.code == 0, ended.err
    return ended.out


@pytest.fixture
def study(folder, said, monkeypatch):
    """The study of that workdir."""
    seen = []
    monkeypatch.setattr(stages, 'run', lambda study, mode, left_out: seen.append(study))
    start(*SHORT, f'--workdir={folder}')
    return seen[0]


def test_kept_checkpoints_are_among_the_files_of_the_run(folder, said):
    files = json.loads((folder / 'done/train-lora.json').read_text())['files']
    assert {path.split('/')[3] for path in files if '/checkpoints/' in path} == {'2', '4', '6'}


def test_held_out_examples_are_told_and_evaluated(folder, said):
    counts = json.loads((folder / 'data/counts.json').read_text())
    assert f'data: {counts["examples"] - 5} examples to train on, 5 held out' in said
    rows = [json.loads(line) for line in (folder / 'runs/lora/metrics.jsonl').read_text().splitlines()]
    assert [row['step'] for row in rows if 'eval_loss' in row] == [3, 6]


def test_other_steps_to_watch_do_not_train_again(folder, said):
    other = ('--config.runs.lora.eval_every=1', '--config.runs.lora.keep_steps=3')
    assert 'train lora: done before' in start(*SHORT, '--mode=train', f'--workdir={folder}', *other).out


def test_another_share_held_out_is_refused(folder, said):
    ended = start(*SHORT, '--mode=train', f'--workdir={folder}', '--config.data.held_out=6')
    assert ended.code == 2
    assert 'data.held_out (5, now 6)' in ended.error()


def test_the_parameters_of_every_kept_step_can_be_had(study, folder):
    found = {step: tuning.tuned(study, 'lora', step=step)['layers']['q_proj'].b for step in (2, 4, 6)}
    for step, b in found.items():
        like = {'layers': {name: {'a': 0, 'b': 0} for name in ('q_proj', 'v_proj')}}
        raw = checkpoint.restore(folder / f'runs/lora/checkpoints/{step}', 'trainable', None)
        assert jax.tree.structure(raw) == jax.tree.structure(like)
        np.testing.assert_array_equal(b, raw['layers']['q_proj']['b'])
    np.testing.assert_array_equal(tuning.tuned(study, 'lora')['layers']['q_proj'].b, found[6])
    assert len({depends.model_key(study, 'lora', step) for step in (2, 4, 6)}) == 3
    assert depends.model_key(study, 'lora') == depends.model_key(study, 'lora', 6)


def test_a_step_that_is_not_kept_is_refused_with_those_that_are(study):
    with pytest.raises(InputError, match='run lora keeps no checkpoint of step 3, it has 2, 4, 6; config.runs.lora.k'):
        tuning.tuned(study, 'lora', step=3)


@pytest.mark.parametrize(
    ('setting', 'said_so'),
    [
        ('full.keep_steps=7', 'config.runs.full.keep_steps has 7, but the run ends with step 6'),
        ('full.method=pretrain', 'config.runs.full.method pretrain needs plain text, but '),
    ],
)
def test_a_run_that_the_data_does_not_fit_is_refused_before_it_begins(folder, said, setting, said_so):
    asked = (*SHORT, '--only=full', '--mode=train', f'--workdir={folder}', f'--config.runs.{setting}')
    ended = start(*asked)
    assert ended.code == 2
    assert said_so in ended.error()
    assert not (folder / 'runs/full').exists()


def test_a_mesh_that_is_not_there_is_refused_before_any_work(tmp_path):
    ended = start(*SHORT, f'--workdir={tmp_path}', '--config.mesh.tensor=64')
    assert ended.code == 2
    assert 'config.mesh: data=' in ended.error()
    assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize(
    ('axis', 'size', 'modes', 'said_so'),
    [
        (
            'tensor',
            2,
            ('run', 'train', 'respond', 'sweep', 'causes', 'evaluate'),
            'does not divide the 2 attention heads and 1 key and value',
        ),
        ('data', 5, ('run', 'train'), 'runs.lora: batch_size 16 must be a multiple'),
        ('sequence', 64, ('run', 'train'), 'config.mesh.sequence is 64; it must divide 32'),
    ],
)
def test_what_the_mesh_cannot_hold_is_refused_by_the_modes_that_need_it(study, axis, size, modes, said_so):
    study = dataclasses.replace(study)
    study.__dict__['mesh'] = types.SimpleNamespace(
        shape=dict.fromkeys(('data', 'fsdp', 'tensor', 'sequence'), 1) | {axis: size}
    )
    for mode in ('run', *stages.STAGES):
        if mode in modes:
            with pytest.raises(InputError, match=said_so):
                stages.check_mesh(study, mode)
        else:
            stages.check_mesh(study, mode)


def test_plain_text_is_accepted_by_pretrain_and_trains_every_parameter(folder, said, monkeypatch):
    texts = dataset.open_dataset(folder / 'data/pretraining')
    monkeypatch.setattr(dataset, 'open_dataset', lambda path: texts)
    asked = ('--only=full', '--config.runs.full.method=pretrain', '--config.runs.full.max_steps=2')
    ended = start(*SHORT, *asked, '--mode=train', f'--workdir={folder}')
    assert ended.code == 0, ended.err
    before = safetensors.numpy.load_file(folder / 'base/model.safetensors')
    after = checkpoint.restore(folder / 'runs/full/checkpoints/2', 'trainable', None)
    assert np.abs(after['norm'] - before['model.norm.weight']).max() > 1e-4
    read = {token for row in range(len(texts)) for token in texts[row].tokens}
    changed = np.abs(after['embed_tokens'] - before['model.embed_tokens.weight']).max(axis=1) > 0
    assert 3 < changed.sum() <= len(read)
    (first, *_) = jsonl.read(folder / 'runs/full/metrics.jsonl')
    kept, _ = held_out.split(texts)
    plan = batches.Schedule(kept.lengths, 0, 1, 16, 96, False)
    assert first['tokens'] == sum(kept.lengths[index] - 1 for (index,) in plan.rows(0))
