import json

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from virtual import run

from jaxshift.errors import InputError
from jaxshift.llama import quantised
from jaxshift.weights import loading, safetensors
from jaxshift.weights.loading import pieces
from jaxshift.weights.source import open_source


def assert_equal(tree, other):
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a).astype(np.float32), np.asarray(b).astype(np.float32))


@pytest.mark.parametrize(
    ('layers', 'rows', 'limit'), [(3, 40, 100), (7, 40, 1000), (5, 8, 10**6), (2, 7, 1), (4, 9, 45)]
)
def test_pieces_cover_all_rows_within_the_limit(layers, rows, limit):
    found = pieces(layers, rows, 10, limit)
    seen = {(piece.layer + i, piece.row + j) for piece in found for i in range(piece.layers) for j in range(piece.rows)}
    assert seen == {(layer, row) for layer in range(layers) for row in range(rows)}
    assert len({(piece.layers, piece.rows) for piece in found}) == 1
    assert all(10 * piece.layers * piece.rows <= max(limit, 10) for piece in found)


@pytest.mark.parametrize(('quantize', 'double'), [('', False), ('int8', False), ('nf4', True)])
@pytest.mark.parametrize('in_flight', [3000, 40_000])
def test_pieces_of_any_size_give_the_same_numbers(saved, monkeypatch, quantize, double, in_flight):
    source = open_source(f'dir:{saved[0]}')
    read, found = safetensors.Folder.read, []
    whole = source.load('bfloat16')
    expected = quantised.quantise(source.load('float32'), quantize, double)['layers'] if quantize else whole['layers']
    monkeypatch.setattr(loading, 'IN_FLIGHT', in_flight)
    monkeypatch.setattr(safetensors.Folder, 'read', lambda *a: found.append(read(*a)) or found[-1])
    cut = source.load('bfloat16', None, quantize, double)
    assert max(part.nbytes for part in found) <= in_flight / 2
    assert_equal(
        {name: cut[name] for name in ('embed_tokens', 'lm_head', 'norm')}, {k: whole[k] for k in whole if k != 'layers'}
    )
    for name, leaf in cut['layers'].items():
        assert_equal(leaf, expected[name] if name.endswith('_proj') else whole['layers'][name])


CUT = """
import functools, re, sys
import jax, jax.numpy as jnp, numpy as np
from jaxshift.config import Mesh
from jaxshift.devices import mesh as meshes, sharding
from jaxshift.llama import model, quantised
from jaxshift.weights import loading, source

opened = source.open_source('dir:' + sys.argv[1])
mesh = meshes.make(Mesh(data=2, fsdp=2, tensor=2))
tokens = np.arange(32, dtype=np.int32).reshape(4, 8) % opened.config.vocab_size
forward = jax.jit(functools.partial(model.forward, opened.config))
for asked in (('', False), ('int8', False), ('nf4', True)):
    loading.IN_FLIGHT = 2**28
    one = opened.load('bfloat16', None, *asked)
    places = sharding.shardings(mesh, quantised.shapes(model.shapes(opened.config), *asked))
    loading.IN_FLIGHT = 8000
    cut = opened.load('bfloat16', places, *asked)
    for name in ('q_proj', 'down_proj'):
        arrays = jax.tree.leaves(cut['layers'][name])
        assert arrays[0].addressable_shards[0].data.size * 4 == arrays[0].size
    assert jax.tree.all(jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), cut, places))
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(cut), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(np.asarray(x).astype(np.float32), np.asarray(y).astype(np.float32), rtol=1e-6)
    with jax.set_mesh(mesh):
        text, found = forward.lower(cut, tokens).compile().as_text(), forward(cut, tokens)
    np.testing.assert_allclose(found, forward(one, tokens), atol=1e-5, rtol=1e-5)
    wide, half = opened.config.hidden_size, opened.config.intermediate_size // 2
    gathered = re.findall(rf'(\\w+)\\[(?:1,)?(?:{wide},{half}|{half},{wide})\\]\\S* all-gather', text)
    assert set(gathered) == {{'': 'f32', 'int8': 's8', 'nf4': 'u8'}[asked[0]]}, gathered  # the codes travel
print('same')
"""


def test_eight_devices_write_pieces_into_their_own_parts_and_gather_codes(saved):
    assert run('-c', CUT, saved[0]) == 'same\n'


def test_host_memory_does_not_hold_the_model(tmp_path):
    found = json.loads(run('-m', 'benchmarks.loading', tmp_path, 1))
    assert found['devices'] == 8
    assert found['arrays'] > 1
    assert found['above'] <= 0.6


@pytest.mark.parametrize('in_flight', [1000, 2**27])
def test_a_file_is_byte_for_byte_that_of_the_safetensors_package(saved, tmp_path, monkeypatch, in_flight):
    monkeypatch.setattr(safetensors, 'IN_FLIGHT', in_flight)
    source = open_source(f'dir:{saved[0]}')
    for dtype in ('float32', 'bfloat16'):
        safetensors.save(tmp_path, source.load(dtype), source.config, source.tokenizer, dtype)
        path = tmp_path / safetensors.SINGLE
        save_file(load_file(path), tmp_path / 'theirs', metadata={'format': 'pt'})
        assert path.read_bytes() == (tmp_path / 'theirs').read_bytes()
        with safe_open(path, framework='numpy') as file:
            assert file.metadata() == {'format': 'pt'}


def test_a_quantised_model_is_not_saved_as_the_original(saved, tmp_path):
    source = open_source(f'dir:{saved[0]}')
    with pytest.raises(InputError, match=f'{tmp_path}: the base is quantised.*export the adapter'):
        safetensors.save(tmp_path, source.load('float32', None, 'nf4'), source.config, source.tokenizer)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_stored_quantised_are_refused_by_name(saved, tmp_path):
    source = open_source(f'dir:{saved[0]}')
    safetensors.save(tmp_path, source.load('float32'), source.config, source.tokenizer, 'float32')
    tensors = load_file(tmp_path / safetensors.SINGLE)
    tensors['model.norm.weight'] = tensors['model.norm.weight'].astype(np.int8)
    save_file(tensors, tmp_path / safetensors.SINGLE)
    with pytest.raises(InputError, match=r"tensor 'model.norm.weight' is stored as I8; .* set config.base.quantize"):
        open_source(f'dir:{tmp_path}').load('float32')
