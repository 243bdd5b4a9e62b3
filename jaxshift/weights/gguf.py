"""GGUF files (llama.cpp): tensors dequantised by the `gguf` package, the config from the file's own fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxshift.errors import InputError
from jaxshift.llama.config import LlamaConfig
from jaxshift.weights import names

# The k-quants of a Q4_K_M file stand beside Q5_0, Q5_1 and Q8_0, which rows that are no multiple of 256 fall back to.
READ = ('F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K')


class File:
    """The tensors of a GGUF file, under their GGUF names but in Hugging Face's layout.

    Attributes:
      config: shape of the model, from the file's fields alone.
      fields: the file's fields; a value is read by `field`.
      tensors: every tensor by name.

    Raises:
      InputError: the file is missing, damaged, no Llama, or quantised in a way that is not read.
    """

    scheme = 'gguf'

    def __init__(self, path: Path):
        self.path = path
        if not path.is_file():
            raise InputError(f'{path}: no such file; give the .gguf file itself')
        reader = _reader(path)
        self.fields = reader.fields
        self._data = {tensor.name: tensor for tensor in reader.tensors}
        self._refuse()
        # The file's shapes are innermost first; ours are [out, in].
        self.tensors = {
            name: names.Tensor(str(path), tuple(int(n) for n in tensor.shape[::-1]), np.dtype(np.float32))
            for name, tensor in self._data.items()
        }
        self.config = self._config()

    def field(self, key: str, default=None):
        """The value of a field, or the default where the file has none."""
        return self.fields[key].contents() if key in self.fields else default

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """A part of a tensor, float32; only the rows asked for are dequantised."""
        from gguf import dequantize

        tensor = self._data[name]
        rows = np.arange(self.tensors[name].shape[0])
        if '.attn_q.' in name or '.attn_k.' in name:
            # llama.cpp rotates neighbours, Hugging Face halves: row (head, half, j) there is row (head, j, half) here.
            rows = rows.reshape(-1, self.config.head_dim // 2, 2).swapaxes(1, 2).reshape(-1)
        data = tensor.data[rows[index[0]]]
        if tensor.tensor_type.name in ('F32', 'F16'):
            values = data.astype(np.float32)
        else:
            values = dequantize(data, tensor.tensor_type)
        return values[(slice(None), *index[1:])]

    def _need(self, key: str):
        if key not in self.fields:
            raise InputError(f'{self.path}: field {key!r} is missing, and it is never guessed; convert the model again')
        return self.field(key)

    def _refuse(self) -> None:
        architecture = self._need('general.architecture')
        if architecture != 'llama':
            raise InputError(f'{self.path}: architecture {architecture!r} is not supported; only llama is')
        if 'token_embd.weight' not in self._data:
            raise InputError(f"{self.path}: tensor 'token_embd.weight' is missing; give the file of a whole model")
        for tensor in self._data.values():
            kind = tensor.tensor_type.name
            if kind not in READ:
                raise InputError(
                    f'{self.path}: tensor {tensor.name!r} is quantised as {kind}; {", ".join(READ)} are read: '
                    'take such a file, or the safetensors of the model with dir: or hf:'
                )
        scaling = self.field('llama.rope.scaling.type', 'none')
        if scaling != 'none' or 'rope_freqs.weight' in self._data:
            found = f'rope scaling {scaling!r}' if scaling != 'none' else "tensor 'rope_freqs.weight'"
            raise InputError(
                f'{self.path}: {found} is not read from GGUF; take the safetensors of the model with dir: or hf:'
            )
        if self.field('llama.expert_count', 0):
            raise InputError(f'{self.path}: field llama.expert_count: mixtures of experts are not supported')

    def _config(self) -> LlamaConfig:
        need, field = self._need, self.field
        width, heads = need('llama.embedding_length'), need('llama.attention.head_count')
        rotated = field('llama.rope.dimension_count', width // heads)
        head_dim = field('llama.attention.key_length', rotated)
        if not head_dim == rotated == field('llama.attention.value_length', head_dim):
            raise InputError(f'{self.path}: keys, values and rotary dimensions of different size are not supported')
        window = field('llama.attention.sliding_window')
        ends = (field('tokenizer.ggml.eos_token_id'), field('tokenizer.ggml.eot_token_id'))
        return LlamaConfig(
            vocab_size=field('llama.vocab_size', self.tensors['token_embd.weight'].shape[0]),
            hidden_size=width,
            intermediate_size=need('llama.feed_forward_length'),
            num_hidden_layers=need('llama.block_count'),
            num_attention_heads=heads,
            num_key_value_heads=field('llama.attention.head_count_kv', heads),
            head_dim=head_dim,
            max_position_embeddings=need('llama.context_length'),
            rms_norm_eps=_decimal(need('llama.attention.layer_norm_rms_epsilon')),
            rope_theta=_decimal(need('llama.rope.freq_base')),
            tie_word_embeddings='output.weight' not in self.tensors,
            attention_bias='blk.0.attn_q.bias' in self.tensors,
            mlp_bias='blk.0.ffn_gate.bias' in self.tensors,
            model_type='llama' if window is None else 'mistral',
            sliding_window=window,
            bos_token_id=field('tokenizer.ggml.bos_token_id'),
            eos_token_id=tuple(dict.fromkeys(end for end in ends if end is not None)),
        )


def _reader(path: Path):
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise InputError(f"{path}: reading GGUF needs the gguf package; pip install 'jaxshift[gguf]'") from error
    try:
        return GGUFReader(path)
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise InputError(f'{path}: not a complete GGUF file ({error}); fetch it again') from error


def _decimal(value: float) -> float:
    # The file holds float32; the shortest decimal of the same float32 is what config.json said.
    return float(str(np.float32(value)))
