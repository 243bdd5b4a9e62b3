import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxshift.store import checkpoint

TREE = {'layers': {'q_proj': {'a': jnp.arange(12.0).reshape(2, 3, 2), 'b': jnp.full((3,), 0.1, jnp.bfloat16)}}}
LIKE = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), TREE)


@pytest.fixture
def folder(tmp_path):
    for step in (4, 30):
        checkpoint.save(tmp_path, step, {'values': jax.tree.map(lambda leaf, step=step: leaf * step, TREE)})
    return tmp_path


def test_what_was_saved_comes_back_bit_for_bit(folder):
    found = checkpoint.restore(folder / '30', 'values', LIKE)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b * 30), found, TREE)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.dtype, b.dtype), found, TREE)


def test_steps_are_ordered_as_numbers(folder):
    (folder / '7.partial').mkdir()
    (folder / 'notes').mkdir()
    assert checkpoint.steps(folder) == [4, 30]
    assert checkpoint.newest(folder) == (30, [])
    assert checkpoint.steps(folder / 'nowhere') == []
    assert checkpoint.newest(folder / 'nowhere') == (None, [])


def test_a_step_keeps_its_settings_and_metrics(tmp_path):
    rows = [{'step': 1, 'loss': 2.5}, {'step': 2, 'loss': 0.1}]
    made = checkpoint.save(tmp_path, 2, {'values': TREE}, {'run': {'targets': ('q', 'v')}}, rows)
    assert checkpoint.settings(made) == {'run': {'targets': ['q', 'v']}}
    assert checkpoint.rows(made) == rows
    made.joinpath('metrics.jsonl').write_text('')
    assert checkpoint.newest(tmp_path) == (None, [f'{made}: metrics.jsonl is damaged; passed over'])


def test_a_flipped_bit_in_any_file_leads_back_to_the_step_before(folder):
    for path in [path for path in (folder / '30').rglob('*') if path.is_file() and path.stat().st_size]:
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 16]))
        step, passed = checkpoint.newest(folder)
        assert step == 4
        assert len(passed) == 1
        assert passed[0].startswith(f'{folder}/30: ')
        path.write_bytes(good)
    assert checkpoint.newest(folder) == (30, [])


def test_a_folder_without_a_manifest_is_no_checkpoint_and_told_when_it_is_newer(folder):
    for step in ('9', '99'):
        (folder / step).mkdir()
    assert checkpoint.steps(folder) == [4, 30]
    assert checkpoint.newest(folder) == (30, [f'{folder}/99: no MANIFEST.json; passed over'])


def test_a_lost_manifest_of_the_only_step_is_told(folder):
    checkpoint.remove(folder, 4)
    (folder / '30' / 'MANIFEST.json').unlink()
    assert checkpoint.newest(folder) == (None, [f'{folder}/30: no MANIFEST.json; passed over'])


def test_a_step_can_be_written_again(folder):
    (folder / '30.partial').mkdir()
    (folder / '30.partial' / 'left').write_text('by a process that was killed')
    checkpoint.save(folder, 30, {'values': TREE})
    jax.tree.map(np.testing.assert_array_equal, checkpoint.restore(folder / '30', 'values', LIKE), TREE)
    assert not (folder / '30' / 'left').exists()
    assert not (folder / '30.partial').exists()


def test_what_was_left_half_saved_can_be_removed(folder):
    (folder / '40.partial' / 'values').mkdir(parents=True)
    (folder / 'notes.partial').touch()
    checkpoint.remove_unfinished(folder)
    assert sorted(path.name for path in folder.iterdir()) == ['30', '4', 'notes.partial']
    checkpoint.remove_unfinished(folder / 'nowhere')


def test_a_removed_step_is_gone(folder):
    checkpoint.remove(folder, 30)
    assert checkpoint.newest(folder) == (4, [])
