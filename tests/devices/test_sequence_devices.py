"""Attention on a mesh is that of one device; see sequence_devices.py."""

from pathlib import Path

import numpy as np
import pytest
from virtual import run


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """Arrays by name."""
    out = tmp_path_factory.mktemp('sequence') / 'out.npz'
    run(Path(__file__).with_name('sequence_devices.py'), out)
    with np.load(out) as file:
        return dict(file)


def compared(found, layout, case):
    """Pairs of arrays, of a mesh and of one device."""
    names = [name for name in found if name.startswith(f'{layout}: {case}, ')]
    assert len(names) == 4
    return [(name, found[name], found[name.replace(layout, 'one', 1)]) for name in names]


@pytest.mark.parametrize('case', ['window None, segments False', 'window 70, segments True'])
@pytest.mark.parametrize('layout', [*(f'sequence {n}' for n in (2, 3, 4, 8)), 'fsdp 2, tensor 2, sequence 2'])
def test_positions_may_be_cut_over_devices(found, layout, case):
    for name, mesh, one in compared(found, layout, case):
        assert np.abs(one).max() > 1
        np.testing.assert_allclose(mesh, one, atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize('layout', ['data 4, tensor 2', 'sequence 8', 'sequence 2'])
def test_rows_heads_and_positions_that_are_too_few_are_not_cut(found, layout):
    for name, mesh, one in compared(found, layout, 'short'):
        np.testing.assert_allclose(mesh, one, atol=1e-5, rtol=1e-5, err_msg=name)


def test_splash_attention_over_devices_is_the_form_of_one_device(found):
    # Interpreted; against the chunked form, to the tolerances that these two have on one device.
    for name, mesh, one in compared(found, 'sequence 2', 'splash'):
        np.testing.assert_allclose(mesh, one, atol=2e-5, rtol=1e-4, err_msg=name)
