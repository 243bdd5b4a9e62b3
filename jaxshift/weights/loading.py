"""Files onto devices, a piece at a time: read as the file has it, then turned, cast or quantised on the devices.

A piece is some rows of a tensor, or of several layers' tensors where these are small. Each device takes rows of its
own part alone, so the stacked parameters are written in place where they will stay, and the host holds two pieces
whatever the size of the model: one that is read while the one before is written.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxshift.llama import quantised
from jaxshift.llama.config import LlamaConfig
from jaxshift.weights import names

IN_FLIGHT = 256 * 2**20  # bytes that a process has read and not yet written into the parameters


class Weights(Protocol):
    """Files that hold tensors, each [out, in] as Hugging Face has them, read in parts."""

    scheme: str
    config: LlamaConfig

    @property
    def tensors(self) -> Mapping[str, names.Tensor]: ...

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray: ...


@dataclass(frozen=True)
class Layout:
    """How tensors of files become a leaf; below, [L, rows, ...] are a leaf's tensors stacked, L 1 without layers.

    Attributes:
      stacked: the leaf has a layer axis.
      transposed: its last two axes are those of the file, turned.
      quantize, double: see `quantised.leaf`; '' keeps the numbers.
      places: of the leaf's arrays, or None.
    """

    stacked: bool
    transposed: bool
    quantize: str
    double: bool
    places: tuple[NamedSharding, ...] | None


@dataclass(frozen=True)
class Piece:
    """Of `layers` tensors from `layer` on, `rows` rows from `row` on of every part that the rows are cut into."""

    layer: int
    layers: int
    row: int
    rows: int


def load(weights: Weights, shapes: dict, shardings: dict | None, quantize: str = '', double: bool = False) -> dict:
    """The parameters; the files hold what `shapes` describes (see `names.check`).

    Args:
      weights: the files.
      shapes: tree from `llama.model.shapes`, not quantised.
      shardings: tree of `NamedSharding` like the parameters, quantised; None: everything on the default device.
      quantize, double: see `quantised.quantise`.
    """
    like = jax.eval_shape(functools.partial(quantised.quantise, kind=quantize, double=double), shapes)
    # All of the parameters at once, for the sake of one compilation.
    zeros = jax.jit(lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like), out_shardings=shardings)()
    structure = jax.tree.structure(shapes)
    leaves = structure.flatten_up_to(zeros)
    places = [None] * len(leaves) if shardings is None else structure.flatten_up_to(shardings)
    for at, (row, leaf) in enumerate(names.rows(shapes, weights.scheme)):
        kind = quantize if leaves[at] is not jax.tree.leaves(leaves[at])[0] else ''
        leaves[at] = _filled(weights, row, leaf.shape, leaves[at], places[at], kind, double)
    return jax.tree.unflatten(structure, leaves)


def _filled(weights: Weights, row: names.Row, shape: tuple[int, ...], leaf, place, quantize: str, double: bool) -> Any:
    """A leaf with the numbers of its tensors; the one that is given is used up."""
    shape, filed = _as_filed(row, shape, None if place is None else jax.tree.leaves(place)[0])
    part = shape if filed is None else filed.shard_shape(shape)
    places = None if place is None else tuple(jax.tree.leaves(place))
    layout = Layout(row.stacked, row.transposed, quantize, double, places)
    dtype = functools.reduce(jnp.promote_types, (weights.tensors[name].dtype for name in _names(weights, row, shape)))
    row_bytes = _parts(filed, shape) * math.prod(part[2:]) * dtype.itemsize
    for piece in pieces(shape[0], part[1], row_bytes, IN_FLIGHT // 2):
        array = _put(weights, row, piece, shape, filed, dtype)
        jax.block_until_ready(leaf)  # of the piece before nothing is left on the host
        leaf = _write(leaf, array, piece.layer, piece.row, layout)
    return jax.block_until_ready(leaf)


def pieces(layers: int, rows: int, row_bytes: int, limit: int) -> list[Piece]:
    """Cuts tensors so that a piece has at most `limit` bytes, or is one row.

    All are of one size, so that one compiled program writes them; the last begins where it still fits, and writes
    some of what the one before it wrote.

    Args:
      layers: number of tensors.
      rows: of the part of each that a device has.
      row_bytes: what a process reads for one row of every part.
      limit: in bytes.
    """
    deep = min(layers, max(1, limit // (rows * row_bytes)))
    high = min(rows, max(1, limit // row_bytes))
    return [Piece(layer, deep, row, high) for layer, row in itertools.product(_starts(layers, deep), _starts(rows, high))]


def _starts(count: int, size: int) -> list[int]:
    return [min(start, count - size) for start in range(0, count, size)]


def _as_filed(row: names.Row, shape: tuple[int, ...], place) -> tuple[tuple[int, ...], NamedSharding | None]:
    """Shape and place of a leaf's tensors as the file has them, stacked."""

    def turned(axes: tuple) -> tuple:
        axes = axes if row.stacked else (None, *axes)
        return (*axes[:-2], axes[-1], axes[-2]) if row.transposed else axes

    filed = tuple(size or 1 for size in turned(shape))
    if place is None:
        return filed, None
    return filed, NamedSharding(place.mesh, PartitionSpec(*turned((*place.spec, *(None for _ in shape))[: len(shape)])))


def _names(weights: Weights, row: names.Row, shape: tuple[int, ...]) -> list[str]:
    return [row.name(weights.scheme, layer) for layer in range(shape[0])]


def _parts(place: NamedSharding | None, shape: tuple[int, ...]) -> int:
    """How many different parts the devices of one process hold, of the process that holds most."""
    if place is None:
        return 1
    held = defaultdict(set)
    for device, index in place.devices_indices_map(shape).items():
        held[device.process_index].add(repr(index))
    return max(map(len, held.values()))


def _put(weights: Weights, row: names.Row, piece: Piece, shape: tuple[int, ...], place, dtype: np.dtype) -> jax.Array:
    """Reads a piece onto the devices: [layers, shards * rows, ...], as the file has it."""
    part = shape[1] if place is None else place.shard_shape(shape)[1]
    found: dict[str, np.ndarray] = {}

    def read(index: tuple[slice, ...]) -> np.ndarray:
        # JAX asks once for each device, also where several hold the same part.
        if repr(index) not in found:
            first = (index[1].start or 0) // piece.rows * part + piece.row
            inside = (slice(first, first + piece.rows), *index[2:])
            names_of = _names(weights, row, shape)[piece.layer : piece.layer + piece.layers]
            parts = [weights.read(name, inside) for name in names_of]
            found[repr(index)] = np.stack(parts, dtype=dtype, casting='unsafe') if len(parts) > 1 else parts[0][None]
        return found[repr(index)]

    if place is None:
        return jax.device_put(read((slice(None),) * len(shape)))
    return jax.make_array_from_callback((piece.layers, shape[1] // part * piece.rows, *shape[2:]), place, read)


@functools.partial(jax.jit, donate_argnums=0, static_argnums=4)
def _write(leaf, piece, layer, row, layout: Layout):
    """Writes a piece into the leaf that it belongs to, from a layer and a row of every part on."""
    if layout.transposed:
        piece = jnp.swapaxes(piece, -1, -2)
    if layout.quantize:
        piece = quantised.leaf(piece, layout.quantize, layout.double)
    if not layout.stacked:
        piece = jax.tree.map(lambda x: x[0], piece)

    def write(leaf, piece, layer, row):
        return jax.tree.map(lambda x, new: jax.lax.dynamic_update_slice(x, new.astype(x.dtype), at(x)), leaf, piece)

    def at(x):
        start = [0] * x.ndim
        start[0] = layer if layout.stacked else 0
        start[-1 if layout.transposed else int(layout.stacked)] = row
        return start

    if layout.places is not None:  # each device writes into its own part
        specs = jax.tree.unflatten(jax.tree.structure(leaf), [place.spec for place in layout.places])
        mesh = layout.places[0].mesh
        write = jax.shard_map(write, mesh=mesh, in_specs=(specs, specs, PartitionSpec(), PartitionSpec()), out_specs=specs)
    return write(leaf, piece, layer, row)
