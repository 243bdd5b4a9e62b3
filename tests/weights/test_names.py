import dataclasses
import itertools

import gguf
import jax
import numpy as np
import pytest

from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig, from_hf
from jaxshift.llama.linear import LoRA
from jaxshift.weights import names

FLOAT = np.dtype('float32')
CONFIG = LlamaConfig(
    vocab_size=40,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    rope_theta=1e4,
)


def found_for(config, scheme='hf', file='model.safetensors'):
    """The tensors of a complete file."""
    out = {}
    for row, leaf in names.rows(model.shapes(config), 'x'):
        shape = leaf.shape[1:] if row.stacked else leaf.shape
        for layer in range(config.num_hidden_layers) if row.stacked else (None,):
            out[row.name(scheme, layer)] = names.Tensor(file, shape[::-1] if row.transposed else shape, FLOAT)
    return out


@pytest.mark.parametrize(('attention', 'mlp', 'tied'), [*itertools.product([False, True], repeat=3)])
def test_names_and_shapes_are_those_of_transformers(torch_llama, attention, mlp, tied):
    torch_model = torch_llama(attention_bias=attention, mlp_bias=mlp, tie_word_embeddings=tied)
    config = from_hf(torch_model.config.to_dict())
    state = {name: tuple(tensor.shape) for name, tensor in torch_model.state_dict().items()}
    if tied:
        del state['lm_head.weight']
    assert {name: tensor.shape for name, tensor in found_for(config).items()} == state


def test_gguf_names_are_those_of_the_gguf_package():
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 3)
    for row, layer in itertools.product(names.TABLE, range(3)):
        expected = table.get_name(row.name('hf', layer), try_suffixes=('.weight', '.bias'))
        assert row.name('gguf', layer) == expected


def test_no_two_leaves_share_a_name_in_either_direction():
    for attribute in ('path', 'hf', 'gguf'):
        assert len({getattr(row, attribute) for row in names.TABLE}) == len(names.TABLE)


@pytest.mark.parametrize('scheme', ['hf', 'gguf'])
def test_a_complete_file_passes(scheme):
    names.check(found_for(CONFIG, scheme), model.shapes(CONFIG), scheme, 'dir:x')


def test_a_missing_tensor_is_named_with_its_source():
    found = found_for(CONFIG)
    del found['model.layers.1.self_attn.v_proj.weight']
    with pytest.raises(InputError, match=r"dir:x: tensor 'model.layers.1.self_attn.v_proj.weight' is missing"):
        names.check(found, model.shapes(CONFIG), 'hf', 'dir:x')


def test_an_unknown_tensor_is_named_with_its_file():
    found = found_for(CONFIG) | {'model.layers.0.self_attn.q_norm.weight': names.Tensor('a.safetensors', (16,), FLOAT)}
    with pytest.raises(
        InputError, match=r"a.safetensors: tensor 'model.layers.0.self_attn.q_norm.weight' has no place"
    ):
        names.check(found, model.shapes(CONFIG), 'hf', 'dir:x')


def test_a_bias_that_the_config_does_not_announce_is_refused():
    with pytest.raises(InputError, match=r'_proj\.bias'):
        names.check(found_for(dataclasses.replace(CONFIG, attention_bias=True)), model.shapes(CONFIG), 'hf', 'dir:x')


def test_a_wrong_shape_is_named_with_both_shapes():
    found = found_for(CONFIG) | {'model.norm.weight': names.Tensor('b.safetensors', (63,), FLOAT)}
    with pytest.raises(
        InputError, match=r"b.safetensors: tensor 'model.norm.weight' is \[63\], its config says \[64\]"
    ):
        names.check(found, model.shapes(CONFIG), 'hf', 'dir:x')


def test_old_rotary_buffers_and_a_tied_head_stored_once_more_are_harmless():
    tied = dataclasses.replace(CONFIG, tie_word_embeddings=True)
    found = found_for(CONFIG)  # with lm_head
    found |= {f'model.layers.{i}.self_attn.rotary_emb.inv_freq': names.Tensor('c', (8,), FLOAT) for i in range(3)}
    names.check(found, model.shapes(tied), 'hf', 'dir:x')


def test_an_untied_head_must_be_there():
    found = found_for(CONFIG)
    del found['lm_head.weight']
    with pytest.raises(InputError, match="'lm_head.weight' is missing"):
        names.check(found, model.shapes(CONFIG), 'hf', 'dir:x')


def test_a_leaf_without_a_name_is_refused():
    with pytest.raises(InputError, match="out: parameter 'layers/router' has no name"):
        names.rows({'layers': {'router': np.zeros((3, 4))}}, 'out')


def test_a_lazy_leaf_is_one_leaf():
    zero = jax.numpy.zeros((3, 4, 4))
    lazy = LoRA(zero, zero, zero, zero[:, 0, 0])
    ((row, leaf),) = names.rows({'layers': {'q_proj': lazy}}, 'out')
    assert (row.path, leaf) == ('layers/q_proj', lazy)
    assert leaf.shape == (3, 4, 4)
