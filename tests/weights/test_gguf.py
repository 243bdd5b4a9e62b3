import sys
from typing import Any

import gguf as reference
import jax
import numpy as np
import pytest
import torch
from k_quants import K_QUANTS, q4_k, q5_k, q6_k, random_blocks

from jaxshift.errors import InputError
from jaxshift.llama.config import from_hf
from jaxshift.weights import gguf, names
from jaxshift.weights.source import open_source

Kind = reference.GGMLQuantizationType


def interleaved(tensor, heads):
    """llama.cpp's own permutation of q and k (convert_hf_to_gguf.py)."""
    return tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(tensor.shape)


def fields_of(config):
    """What llama.cpp's converter writes for a config, with a vocabulary of six tokens."""
    return {
        'llama.block_count': config.num_hidden_layers,
        'llama.context_length': config.max_position_embeddings,
        'llama.embedding_length': config.hidden_size,
        'llama.feed_forward_length': config.intermediate_size,
        'llama.attention.head_count': config.num_attention_heads,
        'llama.attention.head_count_kv': config.num_key_value_heads,
        'llama.rope.dimension_count': config.head_dim,
        'llama.rope.freq_base': 10_000.0,
        'llama.attention.layer_norm_rms_epsilon': config.rms_norm_eps,
        'tokenizer.ggml.bos_token_id': 1,
        'tokenizer.ggml.eos_token_id': 2,
        'tokenizer.ggml.model': 'gpt2',
        'tokenizer.ggml.pre': 'gpt-2',
        'tokenizer.ggml.tokens': ['<unk>', '<s>', '</s>', 'a', 'b', 'ab'],
        'tokenizer.ggml.token_type': [3, 3, 3, 1, 1, 1],
        'tokenizer.ggml.merges': ['a b'],
    }


def tensors_of(model, kind):
    """Yields (name, data, quantisation or None) of every tensor as llama.cpp's converter writes it."""
    heads = {'q_proj': model.config.num_attention_heads, 'k_proj': model.config.num_key_value_heads}
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        state.pop('lm_head.weight')
    for row in names.TABLE:
        leaf = row.path.removeprefix('layers/').removesuffix('_bias')
        for layer in range(model.config.num_hidden_layers) if row.stacked else (None,):
            tensor = state.get(row.name('hf', layer))
            if tensor is None:
                continue
            tensor = interleaved(tensor, heads[leaf]) if leaf in heads else tensor
            if tensor.ndim == 1 or kind == Kind.F32:
                yield row.name('gguf', layer), tensor, None
            elif kind == Kind.F16:
                yield row.name('gguf', layer), tensor.astype(np.float16), None
            elif kind in K_QUANTS:  # the gguf package reads them, and cannot write them
                yield row.name('gguf', layer), random_blocks(tensor.shape, kind), kind
            else:
                yield row.name('gguf', layer), reference.quantize(tensor, kind), kind


@pytest.fixture
def write(torch_llama, tmp_path):
    """Writes a small random Llama as GGUF: (file, torch model). Fields set to None are left out."""

    def make(kind=Kind.F32, fields=None, extra=None, **changes):
        model, path = torch_llama(**changes), tmp_path / 'model.gguf'
        values = fields_of(model.config) | (fields or {})
        writer = reference.GGUFWriter(path, values.pop('architecture', 'llama'))
        add: dict[str, Any] = {
            'int': writer.add_uint32,
            'float': writer.add_float32,
            'str': writer.add_string,
            'list': writer.add_array,
        }
        for key, value in values.items():
            if value is not None:
                add[type(value).__name__](key, value)
        for name, data, quantised in (*tensors_of(model, kind), *(extra or ())):
            writer.add_tensor(name, data, raw_dtype=quantised)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path, model

    return make


@pytest.mark.parametrize('tied', [False, True])
def test_a_float32_file_gives_back_torchs_own_numbers_and_config(write, leaf_of, tied):
    path, torch_model = write(attention_bias=True, mlp_bias=True, tie_word_embeddings=tied)
    source = open_source(f'gguf:{path}')
    assert source.config == from_hf(torch_model.config.to_dict())
    assert source.model_id == str(path)
    for row, leaf in names.rows(source.load('float32'), 'x'):
        np.testing.assert_array_equal(leaf, leaf_of(torch_model.state_dict(), row, 3))


def test_a_sliding_window_is_read(write):
    path, _ = write(fields={'llama.attention.sliding_window': 16})
    assert open_source(f'gguf:{path}').config.sliding_window == 16


@pytest.mark.parametrize('kind', [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1])
def test_quantised_tensors_are_read_as_the_gguf_package_reads_them(write, leaf_of, kind):
    path, torch_model = write(kind)
    state = {}
    for name, tensor in torch_model.state_dict().items():
        rounded = tensor.numpy()
        if rounded.ndim == 2 and kind == Kind.F16:
            rounded = rounded.astype(np.float16).astype(np.float32)
        elif rounded.ndim == 2:  # blocks run along a row, so permuting rows and rounding commute
            rounded = reference.dequantize(reference.quantize(rounded, kind), kind)
        state[name] = torch.tensor(rounded)
    for row, leaf in names.rows(open_source(f'gguf:{path}').load('float32'), 'x'):
        np.testing.assert_array_equal(leaf, leaf_of(state, row, 3))


@pytest.mark.parametrize(('kind', 'block'), [(Kind.Q4_K, q4_k), (Kind.Q5_K, q5_k), (Kind.Q6_K, q6_k)])
def test_k_quants_are_what_ggml_makes_of_each_block(write, kind, block):
    path, torch_model = write(kind, hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_key_value_heads=1)
    size = K_QUANTS[kind][0]
    written = {name: data.reshape(-1, size) for name, data, quantised in tensors_of(torch_model, kind) if quantised}
    heads = {'layers/q_proj': 4, 'layers/k_proj': 1}
    compared = set()
    for row, leaf in names.rows(jax.tree.map(np.asarray, open_source(f'gguf:{path}').load('float32')), 'x'):
        name = row.name('gguf', 0)
        if name in written:
            ours = leaf[0] if row.stacked else leaf
            ours = ours.T if row.transposed else ours
            ours = interleaved(ours, heads[row.path]) if row.path in heads else ours
            np.testing.assert_array_equal(ours, np.stack([block(b) for b in written[name]]).reshape(ours.shape))
            compared.add(name)
    assert compared == written.keys()
    assert len(compared) == 9


def test_smollm2_has_the_numbers_that_the_gguf_package_reads(smollm2_source):
    config, params = smollm2_source.config, smollm2_source.load('float32')
    assert config.tie_word_embeddings
    assert config.parameters == 134_515_008 == sum(leaf.size for _, leaf in names.rows(params, 'x'))
    tensors = {tensor.name: tensor for tensor in reference.GGUFReader(smollm2_source.weights.path).tensors}
    heads = {'layers/q_proj': config.num_attention_heads, 'layers/k_proj': config.num_key_value_heads}
    for row, leaf in names.rows(jax.tree.map(np.asarray, params), 'x'):
        for layer in (0, 13, 29) if row.stacked else (None,):
            tensor = tensors[row.name('gguf', layer)]
            ours = leaf if layer is None else leaf[layer]
            ours = ours.T if row.transposed else ours
            ours = interleaved(ours, heads[row.path]) if row.path in heads else ours
            np.testing.assert_array_equal(ours, reference.dequantize(tensor.data, tensor.tensor_type))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'architecture': 'gemma'}, "architecture 'gemma' is not supported"),
        ({'llama.rope.freq_base': None}, "field 'llama.rope.freq_base' is missing, and it is never guessed"),
        ({'llama.attention.layer_norm_rms_epsilon': None}, 'layer_norm_rms_epsilon'),
        ({'llama.attention.head_count': None}, "'llama.attention.head_count' is missing"),
        ({'llama.rope.scaling.type': 'yarn'}, "rope scaling 'yarn' is not read from GGUF"),
        ({'llama.expert_count': 8}, 'mixtures of experts'),
        ({'llama.attention.key_length': 32}, 'of different size'),
    ],
)
def test_what_the_model_does_not_have_is_refused_by_name(write, changes, message):
    path, _ = write(fields=changes)
    with pytest.raises(InputError, match=f'{path}: .*{message}'):
        open_source(f'gguf:{path}')


def test_rope_frequencies_stored_as_a_tensor_are_refused(write):
    path, _ = write(extra=[('rope_freqs.weight', np.ones(8, np.float32), None)])
    with pytest.raises(InputError, match=r"tensor 'rope_freqs.weight' is not read from GGUF"):
        open_source(f'gguf:{path}')


def test_other_quantisations_are_refused_by_name_with_the_way_out(write):
    path, _ = write(extra=[('blk.0.attn_q_norm.weight', np.zeros((4, 18), np.uint8), Kind.IQ4_NL)])
    with pytest.raises(
        InputError,
        match=r"tensor 'blk.0.attn_q_norm.weight' is quantised as IQ4_NL; F32, .* Q4_K, Q5_K, Q6_K are read: take such",
    ):
        open_source(f'gguf:{path}')


def test_an_unknown_tensor_is_refused_by_name(write):
    path, _ = write(extra=[('blk.0.attn_q_norm.weight', np.ones(8, np.float32), None)])
    with pytest.raises(InputError, match=f"{path}: tensor 'blk.0.attn_q_norm.weight' has no place"):
        open_source(f'gguf:{path}').load('float32')


def test_a_cut_foreign_or_absent_file_is_refused(write, tmp_path):
    path, _ = write()
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match=f'{path}: not a complete GGUF file'):
        open_source(f'gguf:{path}')
    path.write_bytes(b'PK\3\4' * 100)
    with pytest.raises(InputError, match=f'{path}: not a complete GGUF file'):
        open_source(f'gguf:{path}')
    with pytest.raises(InputError, match='absent.gguf: no such file'):
        open_source(f'gguf:{tmp_path}/absent.gguf')


def test_without_the_gguf_package_the_extra_is_named(write, monkeypatch):
    path, _ = write()
    monkeypatch.setitem(sys.modules, 'gguf', None)
    with pytest.raises(InputError, match=r"pip install 'jaxshift\[gguf\]'"):
        gguf.File(path)
