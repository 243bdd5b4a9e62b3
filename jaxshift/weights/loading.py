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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxshift.llama import quantised
from jaxshift.llama.config import LlamaConfig
from jaxshift.weights import names

IN_FLIGHT = 128 * 2**20  # bytes that a process has read and not yet written into the parameters
Progress = Callable[[int, int], None]  # takes what is done, and of how much


class Weights(Protocol):
    """Files that hold tensors, each [out, in] as Hugging Face has them, read in parts."""

    scheme: str
    config: LlamaConfig

    @property
    def tensors(self) -> Mapping[str, names.Tensor]: ...

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray: ...


@dataclass(frozen=True)
class Piece:
    """Of `layers` tensors from `layer` on, `rows` rows from `row` on of every part that the rows are cut into."""

    layer: int
    layers: int
    row: int
    rows: int


@dataclass(frozen=True)
class Stack:
    """The tensors of one leaf as files have them, stacked.

    Attributes:
      weights: the files.
      names: of the tensors, layer by layer; one where the leaf belongs to no layer.
      shape: [L, rows, ...], L the number of names.
      place: of an array of that shape; None: the default device.
    """

    weights: Weights
    names: list[str]
    shape: tuple[int, ...]
    place: NamedSharding | None

    @functools.cached_property
    def part(self) -> tuple[int, ...]:
        """The shape that a device has of it."""
        return self.shape if self.place is None else self.place.shard_shape(self.shape)

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """The narrowest that holds the numbers of all tensors."""
        return functools.reduce(jnp.promote_types, (self.weights.tensors[name].dtype for name in self.names))

    @property
    def row_bytes(self) -> int:
        """What a process reads for one row of every part, where its devices hold most."""
        held = defaultdict(set)
        if self.place is not None:
            placed: Mapping[Any, Any] = self.place.devices_indices_map(self.shape)
            for device, index in placed.items():
                held[device.process_index].add(repr(index))
        parts = max(map(len, held.values()), default=1)
        return parts * math.prod(self.part[2:]) * self.dtype.itemsize

    @property
    def pieces(self) -> list[Piece]:
        """Those that it is read in."""
        return pieces(self.shape[0], self.part[1], self.row_bytes, IN_FLIGHT // 2)

    def put(self, piece: Piece) -> jax.Array:
        """Reads a piece onto the devices: [layers, parts * rows, ...]."""
        found: dict[str, np.ndarray] = {}

        def read(index: Any) -> np.ndarray:
            # JAX asks once for each device, also where several hold the same part.
            if repr(index) not in found:
                first = (index[1].start or 0) // piece.rows * self.part[1] + piece.row
                found[repr(index)] = self._read(piece, (slice(first, first + piece.rows), *index[2:]))
            return found[repr(index)]

        shape = (piece.layers, self.shape[1] // self.part[1] * piece.rows, *self.shape[2:])
        if self.place is None:
            return jax.device_put(read((slice(None),) * len(shape)))
        return jax.make_array_from_callback(shape, self.place, read)

    def _read(self, piece: Piece, inside: tuple[slice, ...]) -> np.ndarray:
        parts = [self.weights.read(name, inside) for name in self.names[piece.layer : piece.layer + piece.layers]]
        return np.stack(parts, dtype=self.dtype, casting='unsafe') if len(parts) > 1 else parts[0][None]


@dataclass(frozen=True)
class Layout:
    """How a stack of tensors becomes a leaf.

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


def unseen(done: int, total: int) -> None:
    """Progress that nobody looks at."""


def load(
    weights: Weights, shapes: dict, shardings: dict | None, quantize: str = '', double: bool = False,
    progress: Progress = unseen,
) -> dict:  # fmt: skip
    """The parameters; the files hold what `shapes` describes (see `names.check`).

    Args:
      weights: the files.
      shapes: tree from `llama.model.shapes`, not quantised.
      shardings: tree of `NamedSharding` like the parameters, quantised; None: everything on the default device.
      quantize, double: see `quantised.quantise`.
      progress: called with the pieces that are read, and their number.
    """
    like = quantised.shapes(shapes, quantize, double)
    # All of the parameters at once, for the sake of one compilation.
    zeros = jax.jit(lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like), out_shardings=shardings)()
    structure: Any = jax.tree.structure(shapes)
    leaves = structure.flatten_up_to(zeros)
    places = [None] * len(leaves) if shardings is None else structure.flatten_up_to(shardings)
    work = []
    for leaf, place, (row, shape) in zip(leaves, places, names.rows(shapes, weights.scheme), strict=True):
        kind = quantize if quantised.is_leaf(leaf) else ''
        flat = None if place is None else tuple(jax.tree.leaves(place))
        stack = _stack(weights, row, shape.shape, flat[0] if flat else None)
        work.append((stack, Layout(row.stacked, row.transposed, kind, double, flat), stack.pieces))
    done, total = 0, sum(len(cut) for _, _, cut in work)
    for at, (stack, layout, cut) in enumerate(work):
        for piece in cut:
            array = stack.put(piece)
            jax.block_until_ready(leaves[at])  # of the piece before nothing is left on the host
            leaves[at] = _write(leaves[at], array, piece.layer, piece.row, layout)
            progress(done := done + 1, total)
        jax.block_until_ready(leaves[at])
    return jax.tree.unflatten(structure, leaves)


def _stack(weights: Weights, row: names.Row, shape: tuple[int, ...], place: NamedSharding | None) -> Stack:
    """What a leaf of that shape and place is read from."""

    def filed(axes: tuple, none) -> tuple:
        axes = axes if row.stacked else (none, *axes)
        return (*axes[:-2], axes[-1], axes[-2]) if row.transposed else axes

    if place is not None:
        spec = (*place.spec, *(None for _ in shape))[: len(shape)]
        place = NamedSharding(place.mesh, PartitionSpec(*filed(spec, None)))
    tensors = [row.name(weights.scheme, layer) for layer in range(shape[0] if row.stacked else 1)]
    return Stack(weights, tensors, filed(shape, 1), place)


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
    return [Piece(at, deep, row, high) for at, row in itertools.product(_starts(layers, deep), _starts(rows, high))]


def _starts(count: int, size: int) -> list[int]:
    return [min(start, count - size) for start in range(0, count, size)]


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
        def one(array, new):
            start = [0] * array.ndim
            start[0] = layer if layout.stacked else 0
            start[-1 if layout.transposed else int(layout.stacked)] = row
            return jax.lax.dynamic_update_slice(array, new.astype(array.dtype), start)

        return jax.tree.map(one, leaf, piece)

    if layout.places is not None:  # each device writes into its own part
        specs = jax.tree.unflatten(jax.tree.structure(leaf), [place.spec for place in layout.places])
        given = (specs, specs, PartitionSpec(), PartitionSpec())
        write = jax.shard_map(write, mesh=layout.places[0].mesh, in_specs=given, out_specs=specs)
    return write(leaf, piece, layer, row)
