"""Folders of safetensors files, as Hugging Face keeps them: read by byte ranges, written in shards."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import jax
import ml_dtypes
import numpy as np
from jax.experimental import multihost_utils
from safetensors import SafetensorError, safe_open

from jaxshift.errors import InputError
from jaxshift.llama import model, quantised
from jaxshift.llama.config import LlamaConfig, from_hf, to_hf
from jaxshift.llama.linear import LoRA
from jaxshift.store import paths
from jaxshift.weights import names
from jaxshift.weights.json_files import read_json
from jaxshift.weights.loading import Progress, unseen

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INDEX = 'model.safetensors.index.json'
SINGLE = 'model.safetensors'
IN_FLIGHT = 128 * 2**20  # bytes of a tensor that are on the host and not yet written
_DTYPES = {
    'BF16': np.dtype(ml_dtypes.bfloat16),
    'F16': np.dtype(np.float16),
    'F32': np.dtype(np.float32),
    'F64': np.dtype(np.float64),
}


class Folder:
    """The tensors of a folder, under their Hugging Face names.

    Raises:
      InputError: the folder, its config.json or its safetensors files are missing or damaged.
    """

    scheme = 'hf'

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise InputError(f'{folder}: no such folder; give the one that holds config.json and model.safetensors')
        self.path = folder
        self.files = _files(folder)
        self.config: LlamaConfig = from_hf(read_json(folder / 'config.json'), str(folder / 'config.json'))

    @functools.cached_property
    def _open(self) -> dict[str, safe_open]:
        opened = {}
        for file in self.files:
            try:
                opened[str(file)] = safe_open(file, framework='numpy')
            except (SafetensorError, OSError) as error:
                raise InputError(f'{file}: not a complete safetensors file ({error}); fetch it again') from error
        return opened

    @functools.cached_property
    def tensors(self) -> dict[str, names.Tensor]:
        """Every tensor by name, from the files' headers alone."""
        found = {}
        for file, handle in self._open.items():
            for name in handle.keys():  # noqa: SIM118 (not a dict)
                part = handle.get_slice(name)
                if part.get_dtype() not in _DTYPES:
                    raise InputError(
                        f'{file}: tensor {name!r} is stored as {part.get_dtype()}; {", ".join(_DTYPES)} are read: '
                        'take the weights before they were quantised, and set config.base.quantize'
                    )
                found[name] = names.Tensor(file, tuple(part.get_shape()), _DTYPES[part.get_dtype()])
        return found

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """A part of a tensor in the file's dtype; no other bytes of a leading range are touched."""
        return self._open[self.tensors[name].file].get_slice(name)[index]


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).exists():
        files = read_json(folder / INDEX).get('weight_map')
        if not isinstance(files, dict) or not files:
            raise InputError(f'{folder / INDEX}: field weight_map is missing or empty; fetch the file again')
        return [_inside(folder, file) for file in sorted(set(map(str, files.values())))]
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if any(folder.glob('*.safetensors')):
        raise InputError(f'{folder}: shards without {INDEX}; fetch the index that came with them')
    pickled = sorted(file.name for kind in ('*.bin', '*.pt', '*.pth', '*.pkl') for file in folder.glob(kind))
    if pickled:
        raise InputError(
            f'{folder}: only pickled weights ({pickled[0]}), and reading those runs code; convert them once, with '
            f"torch: python -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('{folder}')"
            f".save_pretrained('{folder}-safetensors')\" and copy the tokenizer files"
        )
    raise InputError(f'{folder}: no {SINGLE} and no {INDEX}; pickled ones (.bin, .pt) must be converted first')


def _inside(folder: Path, file: str) -> Path:
    # Lexical, because the hub's cache links its files to blobs elsewhere.
    path = PurePosixPath(file)
    if path.is_absolute() or '..' in path.parts or '\\' in file or path.suffix != '.safetensors':
        raise InputError(f'{folder / INDEX}: shard {file!r} is not a .safetensors file inside the folder')
    if not (folder / path).exists():
        raise InputError(f'{folder / path}: missing, though {INDEX} names it; fetch it again')
    return folder / path


def save(
    folder: str | Path,
    params: dict,
    config: LlamaConfig,
    tokenizer: PreTrainedTokenizerBase,
    dtype: str = 'bfloat16',
    max_shard_bytes: int = 5 * 10**9,
    stop_ids: Iterable[int] = (),
    progress: Progress = unseen,
) -> None:
    """Writes a folder that transformers, and `dir:` here, read back.

    Every process must call it, since parameters may be spread over all of them; process 0 alone writes. The host
    holds some rows of one tensor at a time; a lazy leaf is folded layer by layer, in float32.

    Args:
      folder: made where missing; older weights in it are replaced.
      params: tree of arrays, or of lazy leaves of `tune.lora.merge`.
      config: shape of the model.
      tokenizer: saved beside it, with its chat template.
      dtype: 'float32', 'float16' or 'bfloat16' of the file.
      max_shard_bytes: greatest size of one file, unless a single tensor is larger.
      stop_ids: tokens that end a response beside those of config, for generation_config.json.
      progress: called with the weight files that are written, and their number.

    Raises:
      InputError: the tree is not the one that config describes, is quantised, or has numbers beyond float16.
    """
    folder, item = Path(folder), _dtype(dtype).itemsize
    quantised.refuse(params, str(folder))
    writes = jax.process_index() == 0
    leaves = names.rows(params, str(folder))
    _check_whole(leaves, config, folder)
    shards = _plan([(row, leaf.shape) for row, leaf in leaves], item, max_shard_bytes)
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*folder.glob('model*.safetensors'), folder / INDEX):
            old.unlink(missing_ok=True)
        paths.write_json(folder / 'config.json', to_hf(config, dtype))
        eos = tuple(dict.fromkeys((*config.eos_token_id, *stop_ids)))
        ends = {'bos_token_id': config.bos_token_id, 'eos_token_id': eos[0] if len(eos) == 1 else list(eos) or None}
        paths.write_json(folder / 'generation_config.json', {k: v for k, v in ends.items() if v is not None})
        tokenizer.save_pretrained(folder)
    weight_map: dict[str, str] = {}
    by_path = {row.path: leaf for row, leaf in leaves}
    for number, shard in enumerate(shards, start=1):
        file = SINGLE if len(shards) == 1 else f'model-{number:05d}-of-{len(shards):05d}.safetensors'
        weight_map |= {row.hf.format(layer): file for row, layer in shard}
        # In the order of the safetensors package: by name, where all have one dtype.
        shard = sorted(shard, key=lambda place: place[0].hf.format(place[1]))
        shapes = {row.hf.format(layer): _filed(by_path[row.path].shape, row) for row, layer in shard}
        parts = (part for row, layer in shard for part in _parts(by_path[row.path], row, layer, dtype))
        if writes:
            _write(folder / file, shapes, parts, dtype)
        else:
            any(False for _ in parts)  # every process takes part in gathering
        progress(number, len(shards))
    if writes and len(shards) > 1:
        size = item * sum(math.prod(leaf.shape) for _, leaf in leaves)
        index = {'metadata': {'total_size': size}, 'weight_map': dict(sorted(weight_map.items()))}
        paths.write_json(folder / INDEX, index)


def _write(path: Path, shapes: dict[str, tuple[int, ...]], parts: Iterable[np.ndarray], dtype: str) -> None:
    """Writes a safetensors file part by part; the package's own function needs all of it, and copies it."""
    kind = next(kind for kind, known in _DTYPES.items() if known == _dtype(dtype))
    header: dict[str, Any] = {'__metadata__': {'format': 'pt'}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + _dtype(dtype).itemsize * math.prod(shape)
        header[name] = {'dtype': kind, 'shape': shape, 'data_offsets': [start, end]}
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with path.open('wb') as file:
        file.write(len(text).to_bytes(8, 'little') + text)
        for part in parts:
            file.write(part.reshape(-1).view(np.uint8).data)


def _check_whole(leaves, config: LlamaConfig, folder: Path) -> None:
    shapes = {row.path: leaf.shape for row, leaf in leaves}
    wanted = {row.path: leaf.shape for row, leaf in names.rows(model.shapes(config), str(folder))}
    for path in sorted(shapes | wanted):
        if shapes.get(path) != wanted.get(path):
            raise InputError(
                f'{folder}: parameter {path!r} is {shapes.get(path, "missing")}, '
                f'the config has {wanted.get(path, "none of that name")}; save a model with its own config'
            )


def _plan(leaves, item: int, limit: int) -> list[list[tuple[names.Row, int | None]]]:
    """Cuts (row, layer) into files: projection by projection, so that a shard needs few leaves."""
    shards: list[list[tuple[names.Row, int | None]]] = [[]]
    filled = 0
    for row, shape in leaves:
        size = item * int(np.prod(shape[1:] if row.stacked else shape))
        for layer in range(shape[0]) if row.stacked else (None,):
            if shards[-1] and filled + size > limit:
                shards.append([])
                filled = 0
            shards[-1].append((row, layer))
            filled += size
    return shards


def _filed(shape: tuple[int, ...], row: names.Row) -> tuple[int, ...]:
    shape = shape[1:] if row.stacked else shape
    return shape[::-1] if row.transposed else shape


def _parts(leaf, row: names.Row, layer: int | None, dtype: str) -> Iterator[np.ndarray]:
    """A tensor as the file has it, some of its rows after the others."""
    whole = leaf if layer is None else jax.tree.map(lambda x: x[layer], leaf)
    if isinstance(whole, LoRA):
        whole = whole.folded('float32')
    axis = whole.ndim - 1 if row.transposed else 0
    rows = whole.shape[axis]
    item = max(whole.dtype.itemsize, _dtype(dtype).itemsize)
    at_once = max(1, IN_FLIGHT * rows // (item * whole.size))
    for start in range(0, rows, at_once):
        part = jax.lax.dynamic_slice_in_dim(whole, start, min(at_once, rows - start), axis)
        if not part.is_fully_addressable:
            part = multihost_utils.process_allgather(part, tiled=True)
        array = np.asarray(part)
        with np.errstate(over='ignore'):
            cast = np.ascontiguousarray(array.T if row.transposed else array, dtype=_dtype(dtype))
        if dtype == 'float16' and not np.isfinite(cast).all():
            raise InputError(f'{row.hf.format(layer)} has numbers that float16 does not hold; take bfloat16 or float32')
        yield cast


def _dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == 'bfloat16' else name)
