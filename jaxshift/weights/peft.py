"""LoRA adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors, in and out."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.llama.linear import LoraSpec
from jaxshift.store import paths
from jaxshift.weights import adapter_config, names

FILE = 'adapter_model.safetensors'
FILES = (adapter_config.NAME, FILE)


@dataclass(frozen=True)
class Adapter:
    """An opened adapter: its config is read and its tensors' names and shapes are checked, numbers wait.

    Attributes:
      text: how it was named, for example 'dir:PATH', and what it says its base was.
      path: its tensors.
      spec: what it is.
      config: shape of the base that it is read for; more rows where it adds tokens.
      replaced: paths of the parameters that it replaces outright, 'embed_tokens' or 'lm_head'.
    """

    text: str
    path: Path
    spec: LoraSpec
    config: LlamaConfig
    replaced: tuple[str, ...]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Names the adapter in cache keys: 32 hex digits, the same on every machine and for every copy."""
        with self.path.open('rb') as file:
            numbers = hashlib.file_digest(file, 'sha256').hexdigest()
        return hashlib.sha256(f'{self.spec} {numbers}'.encode()).hexdigest()[:32]

    def terms(self) -> dict:
        """The adapter as `tune.lora.init` lays it out, float32: layers padded with zeros to a stack's greatest rank."""
        shapes = model.shapes(self.config)['layers']
        out: dict = {}
        for name in self.spec.projections:
            layers, inputs, outputs = shapes[name].shape
            rank = max(self.spec.rank_of(module) for module in names.modules(name, layers))
            shape = {'a': (layers, rank, inputs), 'b': (layers, outputs, rank)}
            out[name] = {part: np.zeros(shape[part], np.float32) for part in shape}
        with _opened(self.path) as file:
            for name, part, layer, rank in _matrices(self.spec, self.config.num_hidden_layers):
                matrix = file.get_tensor(names.PROJECTIONS[name].peft(part, layer))
                out[name][part][layer][_real(part, rank)] = matrix.astype(np.float32)
        return {'layers': {n: {p: x.swapaxes(1, 2) for p, x in parts.items()} for n, parts in out.items()}}

    def whole(self, dtype) -> dict:
        """The parameters that it replaces outright: a tree of `replaced` in the parameters' own orientation."""
        with _opened(self.path) as file:
            found = {row.path: (row, file.get_tensor(_key(row))) for row in _rows(self.replaced)}
        return {path: (array.T if row.transposed else array).astype(dtype) for path, (row, array) in found.items()}


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    files = (folder / adapter_config.NAME).exists() or any(folder.glob('adapter_model.*'))
    return files and not any(folder.glob('model*.safetensors'))


def open_adapter(text: str, folder: Path, config: LlamaConfig) -> Adapter:
    """Opens the adapter of a folder for a base.

    Args:
      text: how it was named, for messages.
      folder: holds adapter_config.json and adapter_model.safetensors.
      config: shape of the base.

    Raises:
      InputError: a file is missing or damaged; the config asks for what is not read; a tensor is missing, matches
        nothing, or has another shape than base and config say.
    """
    path = folder / FILE
    if not path.exists():
        raise InputError(f'{path}: missing; {_way_to(path)}')
    spec, saved, base = adapter_config.read(folder, config.num_hidden_layers)
    with _opened(path) as file:
        found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (not a dict)
    # Beside a table that was resized PEFT writes it once more, and what it was before.
    tables = {_key(row).removesuffix('.weight') for row in _rows(adapter_config.REPLACEABLE) if _key(row) in found}
    twice = {f'{name}.{part}.weight' for name in tables for part in ('modules_to_save', 'original_module')}
    found = {key: shape for key, shape in found.items() if key not in twice}
    # PEFT also saves a tied head and embeddings that were resized, which modules_to_save does not name.
    saved = tuple(r.path for r in _rows(adapter_config.REPLACEABLE) if r.path in saved or _key(r) in found)
    if (rows := max((found[_key(r)][0] for r in _rows(saved) if _key(r) in found), default=0)) > config.vocab_size:
        config = dataclasses.replace(config, vocab_size=rows)  # it adds tokens, for which the base will be padded
    _check(path, found, _wanted(spec, saved, config))
    return Adapter(f'{text}, an adapter of {base}', path, spec, config, saved)


def save_adapter(folder: str | Path, adapter: dict, spec: LoraSpec, base_model: str) -> None:
    """Writes an adapter that `peft.PeftModel.from_pretrained` reads; the padding of stacks is cut off.

    Args:
      folder: made where missing.
      adapter: tree of `tune.lora.init`: a [L, in, r] and b [L, r, out], replicated where there are many processes.
      spec: what the adapter is.
      base_model: the model it belongs to; PEFT loads it from there (a hub name or a folder).

    Raises:
      InputError: the adapter is not the one that spec describes.
    """
    folder = Path(folder)
    terms = adapter['layers']
    if set(terms) != set(spec.projections):
        raise InputError(f'{folder}: the adapter has {sorted(terms)}, its spec names {sorted(spec.projections)}')
    if unknown := sorted(set(terms) - set(names.PROJECTIONS)):
        raise InputError(f'{folder}: target {unknown[0]!r} is no projection of the model')
    terms = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32).swapaxes(1, 2), terms)
    tensors = {}
    for name, part, layer, rank in _matrices(spec, next(iter(terms.values()))['a'].shape[0]):
        whole = terms[name][part][layer]
        matrix = whole[_real(part, rank)]
        if matrix.shape['ab'.index(part)] != rank or np.count_nonzero(whole) > np.count_nonzero(matrix):
            raise InputError(f'{folder}: {name}.{part} of layer {layer} is {whole.shape}, its spec says rank {rank}')
        tensors[names.PROJECTIONS[name].peft(part, layer)] = np.ascontiguousarray(matrix)
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        paths.write_json(folder / adapter_config.NAME, adapter_config.write(spec, base_model))
        save_file(tensors, folder / FILE, metadata={'format': 'pt'})


def _matrices(spec: LoraSpec, layers: int) -> Iterator[tuple[str, str, int, int]]:
    """(projection, 'a' or 'b', layer, rank) of every matrix that an adapter has."""
    for name in spec.projections:
        for layer, module in enumerate(names.modules(name, layers)):
            if rank := spec.rank_of(module):
                yield name, 'a', layer, rank
                yield name, 'b', layer, rank


def _real(part: str, rank: int) -> tuple[slice, ...]:
    """What of a file's matrix, A [r, in] or B [out, r], is no padding."""
    return (slice(rank),) if part == 'a' else (slice(None), slice(rank))


def _rows(paths_of: tuple[str, ...]) -> list[names.Row]:
    return [row for row in names.TABLE if row.path in paths_of]


def _key(row: names.Row) -> str:
    return f'base_model.model.{row.hf}'


def _wanted(spec: LoraSpec, saved: tuple[str, ...], config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Every key that the file must have, and its shape."""
    shapes = model.shapes(config)['layers']
    wanted: dict[str, tuple[int, ...]] = {_key(row): (config.vocab_size, config.hidden_size) for row in _rows(saved)}
    for name, part, layer, rank in _matrices(spec, config.num_hidden_layers):
        _, inputs, outputs = shapes[name].shape
        wanted[names.PROJECTIONS[name].peft(part, layer)] = (rank, inputs) if part == 'a' else (outputs, rank)
    return wanted


def _check(path: Path, found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
    for key in sorted(wanted.keys() - found.keys()):
        raise InputError(f'{path}: tensor {key!r} is missing, though {adapter_config.NAME} adapts or saves its module')
    for key, shape in found.items():
        if key not in wanted:
            raise InputError(f'{path}: tensor {key!r} matches nothing that {adapter_config.NAME} and the base have')
        if shape != wanted[key]:
            raise InputError(
                f'{path}: tensor {key!r} is {list(shape)}, {adapter_config.NAME} and the base say '
                f'{list(wanted[key])}; give the base that the adapter was trained on'
            )


def _way_to(path: Path) -> str:
    """What to do where adapter_model.safetensors is missing."""
    pickled = next((name for name in ('adapter_model.bin', 'adapter_model.pt') if (path.parent / name).exists()), None)
    if pickled is None:
        return 'take the whole folder of the adapter; a pickled adapter_model.bin must be converted first'
    return (
        f'{pickled} is pickled, and reading it runs code: convert it once, with torch: python -c "import torch, '
        f"safetensors.torch as s; s.save_file(torch.load('{path.parent / pickled}', weights_only=True), '{path}')\""
    )


def _opened(path: Path):
    try:
        return safe_open(path, framework='numpy')
    except (SafetensorError, OSError) as error:
        raise InputError(f'{path}: not a complete safetensors file ({error}); fetch it again') from error
