"""Attention over a mesh: every device attends with its own rows, its own heads and its own queries.

Along the axis `sequence` each device holds an equal run of a row's positions. For attention, keys and values are
gathered, which grouped queries make cheap, and queries are dealt anew: each run is cut into as many pieces as there are
runs, and each device takes one piece of every run, in every other run from the other end. So all devices have early and
late queries, and, where their number is even, equally many keys to look at. The result goes back to where the queries
came from: nothing outside knows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxshift.devices import sharding
from jaxshift.llama import kernels

PIECE = 128  # positions: pieces come in multiples of them, as blocks of queries do; rows of shorter ones are not cut


@dataclass(frozen=True)
class Dealt:
    """The queries of one device.

    Attributes:
      index: [T] int32, their positions.
      piece: so many follow each other without a gap.
    """

    index: jax.Array
    piece: int


def over_mesh(
    attend: Callable, q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array | None, window: int | None
) -> jax.Array:
    """Attention of each device's part, where a mesh of several devices is current; else of the whole.

    Args:
      attend: takes q, k, v, segments, window and `Dealt`, which is left out where the queries are at all positions.
      q: as the other arguments, see `attention.causal`.
    """
    mesh = sharding.current()
    if mesh is None:
        return attend(q, k, v, segments, window)
    # What does not divide is left whole, and computed on every device.
    rows = sharding.dividing(sharding.ROWS, q.shape[-4])
    heads = sharding.dividing('tensor', k.shape[-2])
    length, shards = q.shape[-3], mesh.shape['sequence']
    if shards > 1 and length >= shards * shards * PIECE:
        more = padding(length, shards)
        pad = lambda x, axis: jnp.pad(x, [(0, more * (i == axis)) for i in range(x.ndim)])  # noqa: E731
        # Padding lies after every query, so causality alone keeps it out of sight.
        q, k, v = (pad(x, x.ndim - 3) for x in (q, k, v))
        segments = None if segments is None else pad(segments, 1)
        out = _dealt(attend, mesh, q, k, v, segments, window, rows, heads)
        return out[..., :length, :, :]
    # Too short for pieces: devices along `sequence` exchange their positions for whole rows where the rows go round,
    # else each gathers all positions and computes the same.
    rows = sharding.dividing((*sharding.ROWS, 'sequence'), q.shape[-4]) or rows
    own = P(*[None] * (q.ndim - 4), rows, None, heads)  # the pair axis in front is whole
    by_device = sharding.each_device(
        lambda q, k, v, segments: attend(q, k, v, segments, window), (own, own, own, P(rows)), own
    )
    return by_device(q, k, v, segments)


def _dealt(
    attend: Callable, mesh: AbstractMesh, q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array | None,
    window: int | None, rows: tuple[str, ...], heads: tuple[str, ...],
) -> jax.Array:  # fmt: skip
    """`over_mesh` where positions are cut; rows and heads are those axes of the mesh that cut them."""
    length, shards = q.shape[-3], mesh.shape['sequence']
    order = positions(length, shards)
    piece = length // shards**2
    kernel = part_of_kernel = None
    place = dataclasses.replace(kernels.here(), alone=True)
    if kernels.choose(place, q.dtype, length, q.shape[-1], packed=True) == 'splash':
        from jaxshift.llama import splash  # see there

        block, heads_here = math.gcd(piece, kernels.SPLASH_BLOCK), q.shape[-2] // sharding.count(heads)
        kernel = splash.kernel(order.reshape(-1), length, heads_here, window, block, shards)
        part_of_kernel = kernel.manual_sharding_spec(NamedSharding(mesh, P(None, 'sequence')))

    def by_device(q, k, v, segments, kernel):
        here = jax.lax.axis_index('sequence')
        k, v = (jax.lax.all_gather(x, 'sequence', axis=x.ndim - 3, tiled=True) for x in (k, v))
        q, index = _deal(_turn(q, shards, here), shards), jnp.asarray(order)[here]
        if kernel is None:
            out = attend(q, k, v, segments, window, Dealt(index, piece))
        else:
            out = splash.attend(kernel, q, k, v, None if segments is None else (segments[:, index], segments))
        return _turn(_deal(out, shards), shards, here)

    own = P(*[None] * (q.ndim - 4), rows, 'sequence', heads)
    return sharding.each_device(by_device, (own, own, own, P(rows), part_of_kernel), own)(q, k, v, segments, kernel)


def padding(length: int, shards: int) -> int:
    """Positions that are missing for pieces of whole blocks, blocks as large as add an eighth of the length at most.

    Small blocks are slow, and so many of them at 130k positions overrun a TPU's scalar memory.
    """
    block, pieces = PIECE, shards * shards
    while block < kernels.SPLASH_BLOCK and 16 * block * pieces <= length:
        block *= 2
    return -length % (block * pieces)


def positions(length: int, shards: int) -> np.ndarray:
    """Positions of the queries that each shard is dealt: [shards, length / shards] int32."""
    pieces = np.arange(length, dtype=np.int32).reshape(shards, shards, -1)
    pieces[1::2] = pieces[1::2, ::-1]
    return pieces.swapaxes(0, 1).reshape(shards, -1)


def _turn(x: jax.Array, shards: int, shard: jax.Array) -> jax.Array:
    """[..., T, H, hd] of a shard with its pieces in the order in which they are dealt; its own inverse."""
    pieces = x.reshape(*x.shape[:-3], shards, -1, *x.shape[-2:])
    return jnp.where(shard % 2, jnp.flip(pieces, axis=-4), pieces).reshape(x.shape)


def _deal(x: jax.Array, shards: int) -> jax.Array:
    """[..., T, H, hd]: piece s goes to shard s, in the order of the shards that they come from; its own inverse."""
    pieces = x.reshape(*x.shape[:-3], shards, -1, *x.shape[-2:])
    axis = pieces.ndim - 4
    return jax.lax.all_to_all(pieces, 'sequence', axis, axis, tiled=True).reshape(x.shape)
