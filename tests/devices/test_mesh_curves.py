"""Training, the sweep and decoding on meshes of eight devices are those of one device; see curves.py."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from virtual import run

CUT = ('data 2', 'data 8', 'fsdp 8', 'fsdp 4, tensor 2', 'fsdp 2, tensor 2, sequence 2')
SWEPT = ('fsdp 8', 'fsdp 2, tensor 2, sequence 2')
BYTES = {'f32': 4, 's32': 4, 'pred': 1}


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """(arrays by name, texts of compiled programs by name) that the program leaves."""
    out = tmp_path_factory.mktemp('curves') / 'out.npz'
    run(Path(__file__).with_name('curves.py'), out)
    with np.load(out) as file:
        return {name: file[name] for name in file.files}, json.loads(str(file['texts']))


@pytest.mark.parametrize('method', ['full', 'lora'])
@pytest.mark.parametrize('mesh', CUT)
def test_a_loss_curve_is_that_of_one_device(found, mesh, method):
    one = found[0][f'one {method} losses']
    np.testing.assert_allclose(found[0][f'{mesh} {method} losses'], one, rtol=1e-5)
    assert one.shape == (20,)
    assert one[-1] < 0.95 * one[0]


@pytest.mark.parametrize('form', ['paired', 'two'])
@pytest.mark.parametrize('mesh', SWEPT)
def test_records_are_those_of_one_device(found, mesh, form):
    arrays = found[0]
    names = [name.removeprefix(f'one {form} ') for name in arrays if name.startswith(f'one {form} ')]
    for name in names:
        one, cut = arrays[f'one {form} {name}'], arrays[f'{mesh} {form} {name}']
        if 'rank' in name:
            token = arrays['emitted'] if 'emitted' in name else arrays[f'one {form} tuned_argmax_id']
            logits = arrays['tuned_logits' if 'tuned' in name else 'base_logits']
            distance = np.abs(logits - np.take_along_axis(logits, token[..., None], axis=-1))
            apart = np.sort(distance, axis=-1)[..., 1] > 1e-4  # the nearest but the token itself
            assert apart.mean() > 0.5
            np.testing.assert_array_equal(cut[apart], one[apart], err_msg=name)
        elif 'id' in name:
            np.testing.assert_array_equal(cut, one, err_msg=name)
        else:
            np.testing.assert_allclose(cut, one, atol=1e-5, rtol=1e-5, err_msg=name)
    assert len(names) == 19
    assert (arrays[f'one {form} js'] > 1e-3).any()


def test_responses_are_those_of_one_device(found):
    np.testing.assert_array_equal(found[0][f'{CUT[-1]} responses'], found[0]['one responses'])


@pytest.mark.parametrize('mesh', ['fsdp 4, tensor 2', 'fsdp 2, tensor 2, sequence 2'])
def test_no_device_sees_the_whole_vocabulary(found, mesh):
    programs = {name: text for name, text in found[1].items() if name.startswith(mesh)}
    assert len(programs) == (4 if mesh in SWEPT else 2)
    for name, text in programs.items():
        sizes = {int(size) for _, dims in arrays_of(text) for size in dims}
        assert 776 in sizes, name
        assert 1552 not in sizes, name
    assert any(1552 in dims for _, dims in arrays_of(found[1]['one full']))


@pytest.mark.parametrize('mesh', SWEPT)
def test_the_paired_pass_gathers_each_weight_once(found, mesh):
    paired, two = (gathered_bytes(found[1][f'{mesh} {form}']) for form in ('paired', 'two'))
    assert 0 < paired <= 0.55 * two


def arrays_of(text):
    """(dtype, sizes) of every array that a compiled program's text names."""
    return [(kind, [int(n) for n in dims.split(',')]) for kind, dims in re.findall(r'(\w+)\[([\d,]+)\]', text)]


def gathered_bytes(text):
    """Bytes that all-gathers give; of loops' bodies once, which is the same share of both programs."""
    results = re.findall(r'= (.*?) all-gather(?:-start)?\(', text)
    found = [each for result in results for each in arrays_of(result)]
    return sum(BYTES[kind] * math.prod(dims) for kind, dims in found)
