import functools
import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.experimental.pallas.ops.tpu import splash_attention
from jax.sharding import AxisType
from test_attention import by_loops, draw, packed_segments

from jaxshift.config import Mesh
from jaxshift.devices import mesh as meshes
from jaxshift.llama import attention, kernels, model
from jaxshift.llama.config import LlamaConfig
from jaxshift.llama.kernels import Place

TPU, CUDA = Place('tpu', alone=True), Place('cuda', alone=False)


@pytest.mark.parametrize(
    ('place', 'changes', 'kernel'),
    [
        (TPU, {}, 'splash'),
        (TPU, {'packed': True, 'dtype': 'float32', 'head_size': 256}, 'splash'),
        (TPU, {'length': 127}, None),
        (TPU, {'head_size': 20}, None),
        (Place('tpu', alone=False), {}, None),
        (CUDA, {}, 'cudnn'),
        (CUDA, {'dtype': 'float16', 'length': 5}, 'cudnn'),
        (CUDA, {'packed': True}, None),
        (CUDA, {'dtype': 'float32'}, None),
        (CUDA, {'head_size': 136}, None),
        (CUDA, {'head_size': 20}, None),
        (Place('gpu', alone=True), {}, None),  # one that cuDNN does not run on
        (Place('cpu', alone=True), {}, None),
    ],
)
def test_a_kernel_is_chosen_by_place_dtype_and_shape(place, changes, kernel):
    usual = {'dtype': 'bfloat16', 'length': 4096, 'head_size': 128, 'packed': False}
    assert kernels.choose(place, **(usual | changes)) == kernel


def mesh_of(devices, axis_type=AxisType.Auto):
    return jax.make_mesh((len(devices),), ('data',), axis_types=(axis_type,), devices=devices)


def test_the_place_is_that_of_the_current_mesh_or_of_this_process():
    assert kernels.here().platform == 'cpu'
    with jax.set_mesh(mesh_of(jax.devices()[:1])):
        assert kernels.here() == Place('cpu', alone=True)


@pytest.mark.parametrize('pair', [False, True], ids=['rows', 'pairs of rows'])
@pytest.mark.parametrize(('packed', 'window'), [(False, None), (True, 70)])
def test_splash_attention_is_that_of_a_float64_loop(monkeypatch, packed, window, pair):
    interpreted = functools.partial(splash_attention.make_splash_mha, interpret=True)
    monkeypatch.setattr(splash_attention, 'make_splash_mha', interpreted)
    monkeypatch.setattr(kernels, 'SPLASH_BLOCK', 128)
    q, k, v = draw(150, pair)  # two blocks
    segments = packed_segments(150) if packed else None
    expected = by_loops(q, k, v, np.zeros((2, 150)) if segments is None else segments, window)
    found = jax.jit(lambda q, k, v: kernels.splash(q, k, v, segments, window))(q, k, v)
    np.testing.assert_allclose(found, expected, atol=5e-6, rtol=1e-5)


def test_the_gradient_of_splash_attention_is_that_of_the_other_forms(monkeypatch):
    interpreted = functools.partial(splash_attention.make_splash_mha, interpret=True)
    monkeypatch.setattr(splash_attention, 'make_splash_mha', interpreted)
    monkeypatch.setattr(kernels, 'SPLASH_BLOCK', 128)
    segments, mix = packed_segments(150), np.random.default_rng(2).normal(size=(2, 150, 4, 8))

    def gradient(form):
        return jax.grad(lambda qkv: (form(*qkv, segments, 70) * mix).sum())(tuple(map(jnp.asarray, draw(150))))

    for found, expected in zip(gradient(kernels.splash), gradient(attention.causal), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('pair', [False, True], ids=['rows', 'pairs of rows'])
@pytest.mark.parametrize('window', [None, 7])
def test_what_cudnn_is_asked_for_is_attention_of_a_float64_loop(monkeypatch, window, pair):
    asked = {}

    def elsewhere(*arrays, implementation, **options):  # the same function, by XLA
        asked['implementation'] = implementation
        return attend(*arrays, implementation='xla', **options)

    attend = jax.nn.dot_product_attention
    monkeypatch.setattr(jax.nn, 'dot_product_attention', elsewhere)
    q, k, v = draw(37, pair)
    found = kernels.cudnn(q, k, v, None, window)
    np.testing.assert_allclose(found, by_loops(q, k, v, np.zeros((2, 37)), window), atol=5e-6, rtol=1e-5)
    assert asked == {'implementation': 'cudnn'}


@pytest.fixture
def tpu_named(monkeypatch):
    """Gives devices of an absent TPU, for which libtpu compiles."""
    if importlib.util.find_spec('libtpu') is None:
        pytest.skip('needs libtpu: pip install libtpu, of the version that jax[tpu] names')
    for name, value in {
        'TPU_SKIP_MDS_QUERY': '1',
        'TPU_WORKER_HOSTNAMES': 'localhost',
        'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
    }.items():
        monkeypatch.setenv(name, value)
    return lambda name: topologies.get_topology_desc(platform='tpu', topology_name=name).devices


@pytest.fixture
def tpu(tpu_named):
    return tpu_named('v5e:2x2')


@pytest.mark.parametrize(('head_dim', 'window'), [(128, 512), (64, None)])
def test_training_compiles_for_a_tpu_with_splash_attention_in_both_directions(tpu, head_dim, window):
    config = LlamaConfig(
        vocab_size=256, hidden_size=256, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=head_dim, max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=1e4,
        model_type='mistral', sliding_window=window,
    )  # fmt: skip

    def score(params, tokens, segments):
        hidden = model.forward(config, params, tokens, segments=segments, dtype=jnp.bfloat16, remat='nothing_saveable')
        return hidden.astype(jnp.float32).sum()

    mesh = mesh_of(tpu[:1])
    place = jax.sharding.NamedSharding(mesh, jax.P())
    rows = jax.ShapeDtypeStruct((1, 2048), jnp.int32, sharding=place)
    params = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), model.shapes(config)
    )
    with jax.set_mesh(mesh):
        text = jax.jit(jax.grad(score)).lower(params, rows, rows).compile().as_text()
    # Forward, again in the backward pass, and the gradients of queries and of keys and values.
    assert text.count('custom_call_target="tpu_custom_call"') == 4


@pytest.mark.parametrize(
    ('sizes', 'length'),
    [
        ({'data': 2, 'tensor': 2}, 256),
        ({'data': 1, 'fsdp': 2, 'sequence': 2}, 2048),
        ({'data': 1, 'tensor': 2, 'sequence': 2}, 256),  # too short for pieces
    ],
)
def test_over_several_tpus_each_takes_the_kernel_for_its_part(tpu, sizes, length):
    mesh = meshes.make(Mesh(**sizes), tpu)
    place = jax.sharding.NamedSharding(mesh, jax.P(('data', 'fsdp'), 'sequence'))
    rows = [jax.ShapeDtypeStruct((4, length, heads, 128), jnp.bfloat16, sharding=place) for heads in (4, 2, 2)]
    with jax.set_mesh(mesh):
        compiled = jax.jit(attention.causal).lower(*rows).compile()
    text = compiled.as_text()
    assert text.count('custom_call_target="tpu_custom_call"') == 1
    assert f'{length},{length}' not in text


@pytest.mark.parametrize('topology', ['v5e:4x4', 'v5p:4x4x4'])
def test_a_row_of_131_072_positions_is_cut_over_tpus(tpu_named, topology):
    devices = tpu_named(topology)
    mesh = meshes.make(Mesh(data=1, tensor=len(devices) // 4, sequence=4), devices)
    place = jax.sharding.NamedSharding(mesh, jax.P(None, None, 'sequence', 'tensor'))
    heads = mesh.shape['tensor']
    rows = [
        jax.ShapeDtypeStruct((2, 1, 131_072, n * heads, 128), jnp.bfloat16, sharding=place) for n in (4, 1, 1)
    ]  # fmt: skip
    with jax.set_mesh(mesh):
        compiled = jax.jit(attention.causal).lower(*rows).compile()
    text = compiled.as_text()
    assert text.count('custom_call_target="tpu_custom_call"') == 1
    assert not re.search(r'(131072|32768),(131072|32768)\b', text)
    # A device has its queries [2, 1, 32768, 4, 128] and all keys and values [2, 1, 131072, 1, 128] of 64 MiB each.
    assert compiled.memory_analysis().temp_size_in_bytes < 16 * 2**26
