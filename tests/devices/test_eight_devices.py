"""What one device and a mesh of eight (data=2, fsdp=2, tensor=2) compute is the same; see eight_devices.py."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from virtual import run

EXACT = ('argmax_id', 'rank', 'top_ids')


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """(arrays by name, facts) that the program of eight devices leaves."""
    out = tmp_path_factory.mktemp('eight') / 'out.npz'
    run(Path(__file__).with_name('eight_devices.py'), out)
    with np.load(out) as file:
        arrays = {name: file[name] for name in file.files if name != 'facts'}
        return arrays, json.loads(str(file['facts']))


def matched(arrays, one, other):
    """Pairs of arrays whose names differ in their beginning."""
    names = [name for name in arrays if name.startswith(one)]
    assert names
    return [(name, arrays[name], arrays[name.replace(one, other, 1)]) for name in names]


@pytest.mark.parametrize('method', ['full', 'lora', 'adafactor'])
def test_three_steps_on_a_mesh_are_those_of_one_device(found, method):
    arrays, _ = found
    for name, one, eight in matched(arrays, f'one {method}', f'eight {method}'):
        np.testing.assert_allclose(eight, one, atol=1e-5, rtol=1e-5, err_msg=name)
    losses = arrays[f'one {method} loss']
    assert losses.shape == (3,)
    assert len(set(losses)) == 3
    assert found[1][f'eight {method} compilations'] == 1


@pytest.mark.parametrize('method', ['full', 'lora'])
def test_a_checkpoint_of_a_mesh_is_read_on_one_device(found, method):
    for name, eight, restored in matched(found[0], f'eight {method} params', f'restored {method} params'):
        np.testing.assert_array_equal(restored, eight, err_msg=name)


def test_adafactors_state_of_a_mesh_is_read_on_one_device(found):
    pairs = matched(found[0], 'eight adafactor state', 'restored adafactor state')
    for name, eight, restored in pairs:
        np.testing.assert_array_equal(restored, eight, err_msg=name)
    assert any('v_row' in name and eight.shape == (2, 128) for name, eight, _ in pairs)


@pytest.mark.parametrize('method', ['full', 'lora'])
def test_moments_are_sharded_like_their_parameter(found, method):
    params, state = found[1][f'{method} params'], found[1][f'{method} state']
    moments = {name: spec for name, spec in state.items() if '.mu' in name or '.nu' in name}
    assert len(moments) == 2 * len(params)
    for name, spec in moments.items():
        assert spec == params[re.split(r'\.(?:mu|nu)', name)[1]], name
    assert found[1][f'eight {method} first state'] == state
    assert sum(any(axis != 'None' for axis in spec) for spec in params.values()) >= len(params) / 2


def test_parameters_are_cut_over_both_axes_where_they_divide(found):
    params = found[1]['full params']
    assert params["['layers']['q_proj']"] == ['None', 'fsdp', 'tensor']
    assert params["['layers']['down_proj']"] == ['None', 'tensor', 'fsdp']
    assert params["['embed_tokens']"] == ['tensor', 'fsdp']
    assert params["['lm_head']"] == ['fsdp', 'tensor']


@pytest.mark.parametrize('logits', ['drawn', 'equal'])
def test_a_cut_vocabulary_has_the_measures_of_the_whole(found, logits):
    for name, whole, cut in matched(found[0], f'whole {logits}', f'cut {logits}'):
        if any(part in name for part in EXACT):
            np.testing.assert_array_equal(cut, whole, err_msg=name)
        else:
            np.testing.assert_allclose(cut, whole, atol=1e-7, rtol=1e-4, err_msg=name)
    distances = [found[0][f"cut {logits}['{name}']"] for name in ('js', 'kl_tuned_base', 'total_variation')]
    assert all((distance > 0).any() == (logits == 'drawn') for distance in distances)


def test_no_device_holds_the_whole_vocabulary(found):
    text = found[1]['text']
    assert re.search(r'\[5,776\]', text)
    sizes = [np.prod([int(n) for n in dims.split(',')]) for dims in re.findall(r'\w+\[([\d,]+)\]', text)]
    assert max(sizes) <= 5 * 776
    assert 'all-gather' in text  # of the short lists
