import copy
import dataclasses
import json
import shutil

import jax
import numpy as np
import peft
import pytest
import torch

from jaxshift import config
from jaxshift.config import Run
from jaxshift.devices import mesh as meshes
from jaxshift.devices.process import StopSignal
from jaxshift.errors import InputError, RunFailed, Stopped
from jaxshift.store import checkpoint, jsonl
from jaxshift.tune import lora
from jaxshift.tune.evaluate import mean_loss
from jaxshift.tune.step import lora_spec, recipe
from jaxshift.tune.train import train
from jaxshift.weights.peft import save_adapter

RUN = Run(
    method='lora', rank=2, dropout=0.1, learning_rate=1e-2, batch_size=4, max_steps=7, log_every=2, checkpoint_every=3,
    targets=('q_proj', 'v_proj'), remat='none', neftune_alpha=5.0, keep_steps=(2,), eval_every=3,
)  # fmt: skip


class StopAfter(StopSignal):
    """A request that comes after so many looks at it: in the middle of a step."""

    def __init__(self, looks):
        self._looks = looks

    @property
    def requested(self):
        self._looks -= 1
        return self._looks < 0


@pytest.fixture(scope='module')
def data(rows):
    return rows(np.random.default_rng(4).integers(6, 30, 12))


@pytest.fixture(scope='module')
def held_out(rows):
    return rows([9, 30, 5, 17, 21])


@pytest.fixture(scope='module')
def tune(small, data, held_out):
    """Trains RUN, or a changed one, in a folder."""
    shape, base, _ = small
    mesh = meshes.make(config.Mesh())

    def go(folder, run=RUN, stop=None, said=None, frozen=base, begin=lora.init):
        start = lambda: begin(jax.random.key(run.seed), base, lora_spec(run))  # noqa: E731
        settings = {'rate': run.learning_rate, 'targets': run.targets}
        say = (lambda line: None) if said is None else said.append
        how = recipe(run, shape, 'float32')
        return train(
            run, how, settings, start, frozen, data, held_out, mesh, folder, stop or StopSignal(), say, lambda *at: None
        )

    return go


@pytest.fixture(scope='module')
def whole(tune, tmp_path_factory):
    """(folder, trained tree) of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp('whole')
    return folder, tune(folder)


def assert_equal_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def rows_without_speed(folder):
    return [
        {key: value for key, value in row.items() if key != 'tokens_per_second'}
        for row in jsonl.read(folder / 'metrics.jsonl')
    ]


def test_the_last_step_is_saved_and_the_two_newest_and_those_asked_for_are_kept(whole):
    folder, values = whole
    assert checkpoint.steps(folder / 'checkpoints') == [2, 6, 7]
    assert checkpoint.newest(folder / 'checkpoints') == (7, [])
    kept = checkpoint.restore(folder / 'checkpoints' / '7', 'trainable', values)
    assert_equal_bits(kept, values)


def test_metrics_are_written_at_the_first_the_logged_and_the_last_step(whole):
    rows = jsonl.read(whole[0] / 'metrics.jsonl')
    assert [row['step'] for row in rows] == [1, 2, 3, 4, 6, 7]
    assert set(rows[0]) == {'step', 'loss', 'grad_norm', 'tokens', 'learning_rate', 'tokens_per_second'}
    assert [row['step'] for row in rows if 'eval_loss' in row] == [3, 6, 7]


def test_tensorboard_has_the_names_of_hugging_faces_trainers(whole):
    (path,) = (whole[0] / 'tensorboard').iterdir()
    content = path.read_bytes()
    for name in ('train/loss', 'train/learning_rate', 'train/grad_norm', 'train/num_tokens', 'eval/loss'):
        assert name.encode() in content, name
    assert b'eval_loss' not in content


def test_the_evaluation_loss_is_pefts_over_every_held_out_token(small, held_out, whole, tmp_path):
    _, _, torch_model = small
    folder, values = whole
    save_adapter(tmp_path, values, lora_spec(RUN), 'x')
    twin = peft.PeftModel.from_pretrained(copy.deepcopy(torch_model), tmp_path)
    total = count = 0
    for index in range(len(held_out)):
        tokens, trained = torch.tensor(held_out[index].tokens).long(), torch.tensor(held_out[index].trained)[1:]
        with torch.no_grad():
            logits = twin(tokens[None]).logits[0, :-1].double()
        losses = torch.nn.functional.cross_entropy(logits, tokens[1:], reduction='none')[trained]
        total, count = total + losses.sum().item(), count + len(losses)
    np.testing.assert_allclose(jsonl.read(folder / 'metrics.jsonl')[-1]['eval_loss'], total / count, rtol=1e-5)


@pytest.mark.parametrize(('pack', 'micro'), [(True, 0), (False, 2), (True, 1)])
def test_the_evaluation_loss_does_not_depend_on_how_rows_are_computed(small, held_out, whole, pack, micro):
    run = dataclasses.replace(RUN, pack=pack, micro_batch_size=micro)
    how, mesh = recipe(run, small[0], 'float32'), meshes.make(config.Mesh())
    found = mean_loss(run, how, whole[1], small[1], held_out, mesh)
    np.testing.assert_allclose(found, jsonl.read(whole[0] / 'metrics.jsonl')[-1]['eval_loss'], rtol=1e-5)


def test_a_checkpoint_that_is_kept_is_that_of_its_step(tune, whole, tmp_path):
    with pytest.raises(Stopped):
        tune(tmp_path, stop=StopAfter(1))
    stopped, kept = (checkpoint.restore(path / 'checkpoints/2', 'trainable', whole[1]) for path in (tmp_path, whole[0]))
    assert_equal_bits(stopped, kept)


def test_adafactor_goes_on_bit_for_bit(tune, tmp_path):
    run = dataclasses.replace(RUN, optimizer='adafactor')
    undisturbed = tune(tmp_path / 'a', run)
    with pytest.raises(Stopped):
        tune(tmp_path / 'b', run, stop=StopAfter(3))
    assert_equal_bits(tune(tmp_path / 'b', run), undisturbed)


@pytest.mark.parametrize('steps', [1, 3, 4, 5])
def test_a_stopped_run_saves_its_last_step_and_goes_on_bit_for_bit(tune, whole, tmp_path, steps):
    with pytest.raises(Stopped):
        tune(tmp_path, stop=StopAfter(steps - 1))
    at, _ = checkpoint.newest(tmp_path / 'checkpoints')
    assert at == steps
    said = []
    assert_equal_bits(tune(tmp_path, said=said), whole[1])
    assert said == [f'going on from step {at}']
    assert rows_without_speed(tmp_path) == rows_without_speed(whole[0])


def test_a_damaged_newest_checkpoint_is_passed_over(tune, whole, tmp_path):
    tune(tmp_path)
    last = tmp_path / 'checkpoints' / '7'
    victim = max((path for path in last.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    said = []
    assert_equal_bits(tune(tmp_path, said=said), whole[1])
    assert said[0].startswith(f'{last}: ')
    assert said[0].endswith(' is damaged; passed over')
    assert said[1:] == ['going on from step 6']


def test_a_finished_run_trains_no_more(tune, whole, tmp_path):
    tune(tmp_path)
    before = (tmp_path / 'metrics.jsonl').read_text()
    assert_equal_bits(tune(tmp_path), whole[1])
    assert (tmp_path / 'metrics.jsonl').read_text() == before


def test_a_folder_that_is_no_checkpoint_is_told_and_changes_nothing(tune, whole, tmp_path):
    for name in ('9999', '5.partial'):
        (tmp_path / 'checkpoints' / name).mkdir(parents=True)
    said = []
    assert_equal_bits(tune(tmp_path, said=said), whole[1])
    assert said == [f'{tmp_path}/checkpoints/9999: no MANIFEST.json; passed over']
    assert checkpoint.steps(tmp_path / 'checkpoints') == [2, 6, 7]
    assert sorted(path.name for path in (tmp_path / 'checkpoints').iterdir()) == ['2', '6', '7', '9999']


def test_checkpoints_of_other_settings_are_refused(tune, tmp_path):
    with pytest.raises(Stopped):
        tune(tmp_path, stop=StopAfter(2))
    other = dataclasses.replace(RUN, learning_rate=1e-3)
    refused = rf'{tmp_path}/checkpoints: trained with another rate \(0.01, now 0.001\); .*remove that folder'
    with pytest.raises(InputError, match=refused):
        tune(tmp_path, other)
    assert checkpoint.newest(tmp_path / 'checkpoints') == (3, [])
    tune(tmp_path, dataclasses.replace(RUN, log_every=1, checkpoint_every=2))
    assert checkpoint.steps(tmp_path / 'checkpoints') == [2, 6, 7]


@pytest.mark.parametrize('content', [None, '{"step": 1, "lo', '{"step": 1}\n\x00\x00\n{"step": 7}\n', ''])
def test_lost_and_damaged_metrics_are_written_again(tune, whole, tmp_path, content):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / 'metrics.jsonl'
    before = path.read_text()
    path.unlink()
    if content is not None:
        path.write_text(content)
    tune(tmp_path)
    assert path.read_text() == before


def test_going_on_does_not_build_what_is_restored(tune, whole, tmp_path):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    assert_equal_bits(tune(tmp_path, begin=None), whole[1])


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(small, tune, tmp_path):
    with pytest.raises(Stopped):
        tune(tmp_path, stop=StopAfter(5))
    good, _ = checkpoint.newest(tmp_path / 'checkpoints')
    with pytest.raises(
        RunFailed, match=rf'loss nan, grad_norm nan; the checkpoint of step {good} is kept. Lower the learning'
    ):
        tune(tmp_path, frozen=small[1] | {'norm': small[1]['norm'] * np.nan})
    assert checkpoint.newest(tmp_path / 'checkpoints') == (good, [])


def test_the_order_of_the_data_is_the_seeds(tune, whole, tmp_path):
    other = tune(tmp_path, dataclasses.replace(RUN, seed=1, max_steps=1))
    assert json.loads((tmp_path / 'metrics.jsonl').read_text())['loss'] != rows_without_speed(whole[0])[0]['loss']
    assert jax.tree.structure(other) == jax.tree.structure(whole[1])
