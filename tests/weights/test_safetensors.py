import json
from typing import Any

import jax
import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open
from virtual import run

from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.weights import names, safetensors
from jaxshift.weights.source import open_source


def equal(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: x.dtype == y.dtype and bool((x == y).all()), a, b))


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_folder_that_torch_wrote_is_read_bit_for_bit(torch_llama, tokenizer, leaf_of, tmp_path, dtype):
    torch_model = torch_llama(getattr(torch, dtype), tie_word_embeddings=True)
    torch_model.save_pretrained(tmp_path, max_shard_size='40KB')
    tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob('*.safetensors'))) > 2
    params = open_source(f'dir:{tmp_path}').load(dtype)
    for row, leaf in names.rows(params, 'x'):
        assert leaf.dtype == dtype
        np.testing.assert_array_equal(np.asarray(leaf, np.float32), leaf_of(torch_model.state_dict(), row, 3))


def test_reading_in_bfloat16_rounds_as_torch_does(saved, leaf_of):
    folder, torch_model = saved
    state = {name: tensor.bfloat16() for name, tensor in torch_model.state_dict().items()}
    for row, leaf in names.rows(open_source(f'dir:{folder}').load('bfloat16'), 'x'):
        np.testing.assert_array_equal(np.asarray(leaf, np.float32), leaf_of(state, row, 3))


@pytest.mark.parametrize('max_shard_bytes', [10**9, 30_000])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
def test_what_is_saved_is_what_transformers_and_we_read(saved, tmp_path, max_shard_bytes, dtype):
    source = open_source(f'dir:{saved[0]}')
    params = source.load(dtype)
    safetensors.save(tmp_path, params, source.config, source.tokenizer, dtype, max_shard_bytes)
    assert (max_shard_bytes > 10**6) == (tmp_path / 'model.safetensors').exists()
    loaded: Any = transformers.LlamaForCausalLM.from_pretrained(
        tmp_path, dtype=getattr(torch, dtype), output_loading_info=True
    )
    read, info = loaded
    assert not any(info.values())
    for name, tensor in saved[1].state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor.to(getattr(torch, dtype)))
    again = open_source(f'dir:{tmp_path}')
    assert again.config == source.config
    assert equal(again.load(dtype), params)
    assert (again.fingerprint == source.fingerprint) == (dtype == 'float32')


def test_shards_keep_their_size_and_the_index_lists_every_tensor(saved, tmp_path):
    source = open_source(f'dir:{saved[0]}')
    safetensors.save(tmp_path, source.load('float32'), source.config, source.tokenizer, 'float32', 30_000)
    index = json.loads((tmp_path / safetensors.INDEX).read_text())
    held: dict[str, str] = {}
    for file in tmp_path.glob('model-*.safetensors'):
        with safe_open(file, framework='numpy') as shard:
            assert shard.metadata() == {'format': 'pt'}
            tensors = {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118
        assert sum(tensor.nbytes for tensor in tensors.values()) <= 30_000
        held |= dict.fromkeys(tensors, file.name)
    assert index['weight_map'] == held
    assert index['metadata']['total_size'] == 4 * source.config.parameters


def test_the_tokenizer_and_its_template_are_saved_beside_the_weights(saved, tokenizer, tmp_path):
    source = open_source(f'dir:{saved[0]}')
    safetensors.save(tmp_path, source.load('float32'), source.config, source.tokenizer, 'float32')
    assert (tmp_path / 'chat_template.jinja').read_text() == tokenizer.chat_template
    assert json.loads((tmp_path / 'generation_config.json').read_text()) == {'bos_token_id': 1, 'eos_token_id': 2}
    text = 'the capital of France is Paris </s>'
    assert open_source(f'dir:{tmp_path}').tokenizer(text) == tokenizer(text)


def test_saving_again_replaces_the_older_weights(saved, tmp_path):
    source = open_source(f'dir:{saved[0]}')
    params = source.load('float32')
    safetensors.save(tmp_path, params, source.config, source.tokenizer, 'float32', 30_000)
    safetensors.save(tmp_path, params, source.config, source.tokenizer, 'float32')
    assert [file.name for file in tmp_path.glob('model*')] == ['model.safetensors']


def test_a_tree_that_is_not_the_configs_is_not_saved(saved, tmp_path):
    source = open_source(f'dir:{saved[0]}')
    params = source.load('float32')
    del params['norm']
    with pytest.raises(InputError, match=r"parameter 'norm' is missing, the config has \(64,\)"):
        safetensors.save(tmp_path, params, source.config, source.tokenizer)
    assert not list(tmp_path.iterdir())


def test_numbers_that_float16_does_not_hold_are_refused(saved, tmp_path):
    source = open_source(f'dir:{saved[0]}')
    params = source.load('float32')
    params['norm'] = params['norm'].at[3].set(70_000.0)
    with pytest.raises(InputError, match='model.norm.weight has numbers that float16 does not hold; take bfloat16'):
        safetensors.save(tmp_path, params, source.config, source.tokenizer, 'float16')


SHARDED = """
import sys
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jaxshift.llama import model
from jaxshift.llama.linear import LoraSpec
from jaxshift.tune import lora
from jaxshift.weights import safetensors, source

opened = source.open_source('dir:' + sys.argv[1])
whole = opened.load('bfloat16')
seen, read = {}, safetensors.Folder.read
def counted(self, name, index):
    seen.setdefault(name, []).append(read(self, name, index).shape)
    return read(self, name, index)
safetensors.Folder.read = counted
mesh = jax.make_mesh((2, 4), ('data', 'fsdp'), axis_types=(AxisType.Auto,) * 2)
specs = {1: P(), 2: P('fsdp'), 3: P(None, 'fsdp')}
shardings = jax.tree.map(lambda leaf: NamedSharding(mesh, specs[leaf.ndim]), model.shapes(opened.config))
shardings['layers'] |= {n: NamedSharding(mesh, P()) for n, x in whole['layers'].items() if x.ndim == 2}
spread = opened.load('bfloat16', shardings)
assert jax.tree.all(jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), spread, shardings))
assert jax.tree.all(jax.tree.map(lambda x, y: bool((np.asarray(x) == np.asarray(y)).all()), whole, spread))
assert seen['model.embed_tokens.weight'] == [(10, 64)] * 4  # once, though two devices hold each part
assert seen['lm_head.weight'] == [(40, 16)] * 4
assert seen['model.layers.1.self_attn.q_proj.weight'] == [(96, 16)] * 4
safetensors.save(sys.argv[2], spread, opened.config, opened.tokenizer, 'bfloat16')

spec = LoraSpec(('q_proj', 'down_proj'), 2, 6.0)
adapter = jax.tree.map(lambda x: x + 0.1, lora.init(jax.random.key(0), model.shapes(opened.config), spec))
safetensors.IN_FLIGHT, parts, written = 2048, safetensors._parts, []
def measured(*asked):
    for part in parts(*asked):
        written.append(part.nbytes)
        yield part
safetensors._parts = measured
safetensors.save(sys.argv[3], lora.merge(spread, adapter, spec), opened.config, opened.tokenizer, 'float32')
assert max(written) <= 2048
again = source.open_source('dir:' + sys.argv[3]).load('float32')
expected = jax.tree.map(np.float64, whole)
for name, term in jax.tree.map(np.float64, adapter['layers']).items():
    expected['layers'][name] = expected['layers'][name] + 3 * term['a'] @ term['b']
jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), again, expected)
print('same')
"""


def test_eight_devices_read_their_own_ranges_alone_and_write_the_same_numbers_folded_or_not(saved, tmp_path):
    assert run('-c', SHARDED, saved[0], tmp_path / 'plain', tmp_path / 'lazy') == 'same\n'
    one, eight = open_source(f'dir:{saved[0]}'), open_source(f'dir:{tmp_path / "plain"}')
    assert equal(one.load('bfloat16'), eight.load('bfloat16'))


@pytest.fixture
def broken(saved, tmp_path):
    """A copy of the saved folder, in three shards, to damage."""
    source = open_source(f'dir:{saved[0]}')
    safetensors.save(tmp_path, source.load('float32'), source.config, source.tokenizer, 'float32', 150_000)
    return tmp_path


@pytest.mark.parametrize(
    'file', ['../other/model.safetensors', '/etc/model.safetensors', 'a\\..\\m.safetensors', 'x.bin']
)
def test_an_index_that_leaves_the_folder_is_refused(broken, file):
    index = json.loads((broken / safetensors.INDEX).read_text())
    index['weight_map']['model.norm.weight'] = file
    (broken / safetensors.INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match='is not a .safetensors file inside the folder'):
        open_source(f'dir:{broken}')


def test_a_missing_shard_is_named(broken):
    shard = min(broken.glob('model-*'))
    shard.unlink()
    with pytest.raises(InputError, match=f'{shard}: missing'):
        open_source(f'dir:{broken}')


def test_a_cut_shard_is_named(broken):
    shard = min(broken.glob('model-*'))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InputError, match=f'{shard}: not a complete safetensors file'):
        open_source(f'dir:{broken}').load('float32')


def test_shards_without_their_index_are_refused(broken):
    (broken / safetensors.INDEX).unlink()
    with pytest.raises(InputError, match='shards without model.safetensors.index.json'):
        open_source(f'dir:{broken}')


def test_a_config_that_is_missing_or_damaged_is_named(broken):
    (broken / 'config.json').write_text('{"model_type":')
    with pytest.raises(InputError, match=f'{broken}/config.json: not readable as JSON'):
        open_source(f'dir:{broken}')
    (broken / 'config.json').unlink()
    with pytest.raises(InputError, match=f'{broken}/config.json: missing'):
        open_source(f'dir:{broken}')


def test_pickled_weights_are_refused_with_the_way_to_convert_them(saved, tmp_path):
    (tmp_path / 'pytorch_model.bin').write_bytes(b'')
    with pytest.raises(
        InputError, match=r'only pickled weights \(pytorch_model.bin\).*convert them once.*save_pretrained'
    ):
        open_source(f'dir:{tmp_path}')


def test_an_empty_or_absent_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match='no model.safetensors'):
        open_source(f'dir:{tmp_path}')
    with pytest.raises(InputError, match='no such folder'):
        open_source(f'dir:{tmp_path}/absent')


def test_the_models_own_shapes_are_what_is_loaded(saved):
    source = open_source(f'dir:{saved[0]}')
    shapes = model.shapes(source.config, jax.numpy.bfloat16)
    loaded = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), source.load('bfloat16'))
    assert loaded == shapes
