"""One table between our parameter tree and the tensor names of Hugging Face, PEFT and GGUF files.

Every way in and out goes through it: a leaf of the tree has a row, a row gives the tensor names of its layers. File
tensors of a transposed row are [out, in]; the leaf is [in, out], below a layer axis where the name counts layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxshift.errors import InputError
from jaxshift.llama.linear import LoRA


@dataclass(frozen=True)
class Row:
    """One leaf of the parameter tree and its names in files; `{}` stands for the layer."""

    path: str
    hf: str
    gguf: str
    transposed: bool = False

    @property
    def stacked(self) -> bool:
        return '{}' in self.hf

    def name(self, scheme: str, layer: int | None = None) -> str:
        """The tensor's name in files of the scheme 'hf' or 'gguf'."""
        return getattr(self, scheme).format(layer)

    def module(self, layer: int | None = None) -> str:
        """The name of the Hugging Face module that holds the tensor."""
        return self.hf.format(layer).removesuffix('.weight')

    def peft(self, part: str, layer: int) -> str:
        """The key of an adapter's matrix; `part` is 'a' or 'b'."""
        return f'base_model.model.{self.module(layer)}.lora_{part.upper()}.weight'


def _projection(name: str, module: str, gguf: str) -> tuple[Row, Row]:
    hf = f'model.layers.{{}}.{module}.{name}'
    return (
        Row(f'layers/{name}', f'{hf}.weight', f'blk.{{}}.{gguf}.weight', transposed=True),
        Row(f'layers/{name}_bias', f'{hf}.bias', f'blk.{{}}.{gguf}.bias'),
    )


TABLE = (
    Row('embed_tokens', 'model.embed_tokens.weight', 'token_embd.weight'),
    Row('layers/input_layernorm', 'model.layers.{}.input_layernorm.weight', 'blk.{}.attn_norm.weight'),
    *_projection('q_proj', 'self_attn', 'attn_q'),
    *_projection('k_proj', 'self_attn', 'attn_k'),
    *_projection('v_proj', 'self_attn', 'attn_v'),
    *_projection('o_proj', 'self_attn', 'attn_output'),
    Row('layers/post_attention_layernorm', 'model.layers.{}.post_attention_layernorm.weight', 'blk.{}.ffn_norm.weight'),
    *_projection('gate_proj', 'mlp', 'ffn_gate'),
    *_projection('up_proj', 'mlp', 'ffn_up'),
    *_projection('down_proj', 'mlp', 'ffn_down'),
    Row('norm', 'model.norm.weight', 'output_norm.weight'),
    Row('lm_head', 'lm_head.weight', 'output.weight', transposed=True),
)
_ROWS = {row.path: row for row in TABLE}
PROJECTIONS = {row.path.removeprefix('layers/'): row for row in TABLE if row.stacked and row.transposed}


def modules(projection: str, layers: int) -> list[str]:
    """The Hugging Face names of a projection's modules, layer by layer."""
    return [PROJECTIONS[projection].module(layer) for layer in range(layers)]


def rows(tree: dict, where: str) -> list[tuple[Row, Any]]:
    """Every leaf of a parameter tree (or of its shapes) with its row, in the order of `jax.tree.flatten`.

    A lazy leaf is one leaf.

    Raises:
      InputError: a leaf has no name in files.
    """
    found = []
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree, lambda leaf: isinstance(leaf, LoRA))[0]:
        path = jax.tree_util.keystr(keys, simple=True, separator='/')
        if path not in _ROWS:
            raise InputError(f'{where}: parameter {path!r} has no name in model files; a plain Llama has none like it')
        found.append((_ROWS[path], leaf))
    return found


@dataclass(frozen=True)
class Tensor:
    """A tensor that a file holds, in the file's own orientation and the dtype that it is read in."""

    file: str
    shape: tuple[int, ...]
    dtype: np.dtype


def check(found: Mapping[str, Tensor], shapes: dict, scheme: str, where: str) -> None:
    """Holds the tensors of files against the model that config and tree describe.

    Args:
      found: tensors by name.
      shapes: tree of `jax.ShapeDtypeStruct` from `llama.model.shapes`.
      scheme: 'hf' or 'gguf'.
      where: the source, for messages.

    Raises:
      InputError: a tensor is missing, unknown, or of another shape.
    """
    wanted = {}
    for row, leaf in rows(shapes, where):
        shape = leaf.shape[1:] if row.stacked else leaf.shape
        for layer in range(leaf.shape[0]) if row.stacked else (None,):
            wanted[row.name(scheme, layer)] = shape[::-1] if row.transposed else shape
    for name, shape in wanted.items():
        if name not in found:
            raise InputError(f'{where}: tensor {name!r} is missing; the files are not complete, fetch them again')
        if found[name].shape != shape:
            raise InputError(
                f'{found[name].file}: tensor {name!r} is {list(found[name].shape)}, its config says {list(shape)}; '
                'take the config that came with the weights'
            )
    for name in found:
        if name not in wanted and not _harmless(name):
            raise InputError(
                f'{found[name].file}: tensor {name!r} has no place in the model that its config describes; '
                'only plain Llama weights are read'
            )


def _harmless(name: str) -> bool:
    # Old checkpoints store the rotary frequencies, and tied models at times their head once more. A head that the
    # model does need is in `wanted`, so it never gets here.
    return name.endswith('.rotary_emb.inv_freq') or name == _ROWS['lm_head'].hf
