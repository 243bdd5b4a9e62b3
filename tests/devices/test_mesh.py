import types

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxshift.config import Mesh
from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding, topology
from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.llama.linear import LoraSpec
from jaxshift.tune import lora
from jaxshift.tune.optimizer import chain

CONFIG = LlamaConfig(56, 32, 48, 2, 4, 2, 8, 64, 1e-5, 1e4, attention_bias=True, mlp_bias=True)


def test_the_free_axis_takes_what_is_left():
    made = meshes.make(Mesh())
    assert made.axis_names == ('data', 'fsdp', 'tensor', 'sequence')
    assert dict(made.shape) == {'data': jax.device_count(), 'fsdp': 1, 'tensor': 1, 'sequence': 1}
    assert meshes.row_shards(made) == jax.device_count()


@pytest.mark.parametrize(
    ('layout', 'asked'),
    [
        (Mesh(data=1, fsdp=3), 'data=1, fsdp=3, tensor=1, sequence=1'),
        (Mesh(data=-1, tensor=2), 'data=-1, fsdp=1, tensor=2, sequence=1'),
    ],
)
def test_sizes_that_do_not_fit_are_refused(layout, asked):
    with pytest.raises(InputError, match=f'config.mesh: {asked} does not fit 1 devices'):
        meshes.make(layout, jax.devices()[:1])


@pytest.mark.parametrize('layout', [Mesh(data=0), Mesh(data=-1, fsdp=0), Mesh(data=-1, fsdp=-1), Mesh(data=-2)])
def test_odd_sizes_are_refused_and_do_not_crash(layout):
    with pytest.raises(InputError, match='config.mesh'):
        meshes.make(layout, jax.devices()[:1])


@pytest.mark.parametrize(('heads', 'kv_heads', 'fits'), [(8, 2, True), (8, 1, False), (9, 3, False)])
def test_heads_must_be_dealt_to_the_tensor_axis(heads, kv_heads, fits):
    mesh = types.SimpleNamespace(shape={'tensor': 2})
    if fits:
        meshes.check_heads(mesh, heads, kv_heads)
        return
    with pytest.raises(InputError, match=f'mesh.tensor is 2, .* {heads} attention heads and {kv_heads} key and value'):
        meshes.check_heads(mesh, heads, kv_heads)


def slices(*numbers):
    """Stand-ins for TPUs of slices with the numbers given."""
    devices = [
        types.SimpleNamespace(id=i, slice_index=n, platform='cpu', device_kind='') for i, n in enumerate(numbers)
    ]
    return [types.SimpleNamespace(**vars(device), process_index=0) for device in devices]


def test_the_data_axis_alone_crosses_slices():
    laid = meshes.over_slices(2, [4, 2, 1, 1], slices(0, 1, 0, 1, 0, 1, 0, 1))
    assert laid.shape == (4, 2, 1, 1)
    assert [[device.slice_index for device in row.flat] for row in laid] == [[0, 0], [0, 0], [1, 1], [1, 1]]


def test_without_dcn_one_mesh_goes_over_hosts_of_gpus():
    laid = meshes.over_slices(1, [1, 2, 2, 1], slices(0, 0, 1, 1))
    assert [[device.slice_index for device in row.flat] for row in laid[0]] == [[0, 0], [1, 1]]


def test_slices_of_tpus_are_laid_out_as_one_slice_is(tpu_devices):
    one, two = topology.devices('v5e:4x4'), topology.devices('v5e:4x4', 2)
    laid = meshes.make(Mesh(data=2, fsdp=8, tensor=2, dcn=2), two).devices
    alone = meshes.make(Mesh(data=1, fsdp=8, tensor=2), one).devices
    places = np.vectorize(lambda device: str(device.coords))
    assert (places(laid) == places(np.concatenate([alone, alone]))).all()
    assert [{device.slice_index for device in part.flat} for part in laid] == [{0}, {1}]
    with pytest.raises(InputError, match='config.mesh.dcn is 1: .* the devices are of 2 slices'):
        meshes.make(Mesh(data=2, fsdp=8, tensor=2), two)
    with pytest.raises(InputError, match='cannot be laid on the links'):
        meshes.make(Mesh(data=2, fsdp=32, tensor=2, dcn=2), topology.devices('v5p:4x4x4', 2))


@pytest.mark.parametrize(
    ('sizes', 'numbers'), [([2, 1, 1, 1], [0, 0]), ([1, 2, 1, 1], [0, 1]), ([4, 1, 1, 1], [0, 0, 0, 1])]
)
def test_slices_that_are_not_there_or_not_equal_are_refused(sizes, numbers):
    with pytest.raises(InputError, match='config.mesh.dcn is 2'):
        meshes.over_slices(2, sizes, slices(*numbers))


def test_devices_that_know_no_slices_are_told_apart_by_process():
    with pytest.raises(InputError, match='config.mesh.dcn is 2: .* data, 1, .* are of 1 processes'):
        meshes.make(Mesh(dcn=2), jax.devices()[:1])


def specs(tree, **sizes):
    """Specs of a tree's leaves on a mesh of the sizes given."""
    mesh = types.SimpleNamespace(shape={'data': 1, 'fsdp': 1, 'tensor': 1, 'sequence': 1} | sizes)
    placed = sharding.shardings(jax.sharding.AbstractMesh(tuple(mesh.shape.values()), tuple(mesh.shape)), tree)
    return {
        '/'.join(str(getattr(part, 'key', getattr(part, 'name', part))) for part in path): leaf.spec
        for path, leaf in jax.tree_util.tree_leaves_with_path(placed)
    }


def test_every_leaf_has_the_place_of_the_table():
    found = specs(model.shapes(CONFIG), fsdp=2, tensor=2)
    for name in ('q_proj', 'k_proj', 'v_proj', 'gate_proj', 'up_proj'):
        assert found[f'layers/{name}'] == P(None, 'fsdp', 'tensor')
        assert found[f'layers/{name}_bias'] == P(None, 'tensor')
    for name in ('o_proj', 'down_proj'):
        assert found[f'layers/{name}'] == P(None, 'tensor', 'fsdp')
        assert found[f'layers/{name}_bias'] == P()
    assert found['embed_tokens'] == P('tensor', 'fsdp')
    assert found['lm_head'] == P('fsdp', 'tensor')
    for name in ('norm', 'layers/input_layernorm', 'layers/post_attention_layernorm'):
        assert found[name] == P()


def test_an_adapters_leaves_and_moments_follow_the_table():
    adapter = jax.eval_shape(
        lambda: lora.init(jax.random.key(0), model.shapes(CONFIG), LoraSpec(('q_proj', 'o_proj'), 4, 8.0))
    )
    found = specs(jax.eval_shape(chain('adamw', 0.9, 0.99, 0.0, False, 1.0).init, adapter), fsdp=2, tensor=2)
    for side, spec in (
        ('q_proj/a', P(None, 'fsdp', None)),
        ('q_proj/b', P(None, None, 'tensor')),
        ('o_proj/a', P(None, 'fsdp', None)),
        ('o_proj/b', P(None, None, 'fsdp')),
    ):
        places = [place for name, place in found.items() if name.endswith(f'layers/{side}')]
        assert places == [spec, spec]


def test_adafactors_factors_are_whole_and_what_is_not_factored_follows_the_table():
    config = LlamaConfig(56, 256, 384, 2, 4, 2, 64, 64, 1e-5, 1e4)
    state = jax.eval_shape(chain('adafactor', 0.9, 0.99, 0.0, False, 1.0).init, model.shapes(config))
    found = {name.partition('v')[2]: place for name, place in specs(state, fsdp=2, tensor=2).items() if 'v' in name}
    assert found['_row/layers/q_proj'] == found['_col/layers/q_proj'] == P()
    assert found['/layers/q_proj'] == P()  # [L, 1], kept where there are factors
    assert found['/embed_tokens'] == P('tensor', 'fsdp')  # one side is below 128


def test_an_axis_that_does_not_divide_is_left_whole():
    found = specs(model.shapes(CONFIG), fsdp=3, tensor=8)
    assert found['layers/q_proj'] == P(None, None, 'tensor')
    assert found['layers/gate_proj'] == P(None, None, 'tensor')
    assert found['layers/down_proj'] == P(None, 'tensor', None)
    assert found['embed_tokens'] == P('tensor', None)
