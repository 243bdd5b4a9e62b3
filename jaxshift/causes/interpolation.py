"""Models between base and tuned, and beyond: the change scaled, or taken back where it is greatest or least.

Trees are those of `tuning.both`: where nothing was tuned both have the same leaf, and it stays. What was tuned comes
back as a plain array, but beside a weight that has a low-rank term the change stays apart, as it was in the tuned
model: scaled it stays low-rank, and taken back in part it is an array of its own (`llama.linear.Changed`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.devices import mesh as meshes
from jaxshift.llama import model
from jaxshift.llama.linear import Changed, LoRA

ORDERS = ('most', 'least', 'random')  # which part of the change is taken back first


def scaled(base: dict, tuned: dict, factor: float, dtype: str) -> dict:
    """`base + factor * (tuned - base)` (Wortsman et al. 2022, arXiv 2109.01903): at 0 and 1 exactly those two."""

    def one(_path, before, leaf):
        if isinstance(leaf, LoRA):
            return dataclasses.replace(leaf, scale=leaf.scale * factor)
        return _between(before, leaf, factor, dtype)

    return _combined(one, base, tuned)


def restored(base: dict, tuned: dict, order: str, share: float, seed: int, dtype: str) -> tuple[dict, float]:
    """The tuned model with a share of the entries that were tuned put back to the base's.

    Args:
      base, tuned: see above.
      order: 'most' puts back those that changed most, 'least' those that changed least, each over all weights
        together, 'random' any: the control.
      share: of the entries of all leaves that were tuned.
      seed: of the random choice.
      dtype: of what is made: leaves, or changes beside the base's leaf.

    Returns:
      The parameters, and the share that was put back: entries that changed equally are put back together.
    """
    if order == 'random':
        keys = jax.random.key(seed)

        def one(path, before, leaf):
            key = jax.random.fold_in(keys, zlib.crc32(path.encode()))
            return _beside(before, leaf, _drawn(before, leaf, dtype, key, 1 - share))

        return _combined(one, base, tuned), share
    leaves = [(before, leaf) for _, before, leaf in _tuned(base, tuned)]
    entries = sum(math.prod(leaf.shape) for _, leaf in leaves)
    count = round(share * entries)
    limit, above = threshold(leaves, count if order == 'most' else entries - count)
    limits = (-1, limit) if order == 'most' else (limit, jnp.iinfo(jnp.int32).max)

    def within(_path, before, leaf):
        return _beside(before, leaf, _within(before, leaf, dtype, *limits))

    tree = _combined(within, base, tuned)
    return tree, (above if order == 'most' else entries - above) / entries


def threshold(leaves: Sequence[tuple[Any, Any]], most: int) -> tuple[int, int]:
    """The least magnitude of a change that at most so many entries of leaves (base's, tuned) exceed, and how many do.

    The magnitude is given by the bits of its float32, which are in the same order. It is found by bisection: each step
    counts, and nothing is sorted or gathered.
    """

    def above(bits: int) -> int:
        return sum(int(meshes.host(_count(before, leaf, bits)).astype(np.int64).sum()) for before, leaf in leaves)

    low, high = 0, int(np.float32(np.inf).view(np.int32))
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if above(middle) <= most else (middle + 1, high)
    return low, above(low)


def _tuned(base: dict, tuned: dict) -> Iterator[tuple[str, Any, Any]]:
    """Path, base's and tuned leaf of every parameter that was tuned."""
    for name, leaf in tuned['layers'].items():
        if leaf is not base['layers'][name]:
            yield f'layers/{name}', base['layers'][name], leaf
    for name, leaf in tuned.items():
        before = base[name] if name in base else model.head(base)  # of a base that ties it
        if name != 'layers' and leaf is not before:
            yield name, before, leaf


def _combined(combine: Callable[[str, Any, Any], Any], base: dict, tuned: dict) -> dict:
    """The tuned tree with `combine(path, before, leaf)` for every leaf that was tuned."""
    made = {path: combine(path, before, leaf) for path, before, leaf in _tuned(base, tuned)}
    layers = {name: made.get(f'layers/{name}', leaf) for name, leaf in tuned['layers'].items()}
    return {name: layers if name == 'layers' else made.get(name, leaf) for name, leaf in tuned.items()}


@functools.partial(jax.jit, static_argnames='dtype')
def _between(before, leaf, factor, dtype: str):
    return ((1 - factor) * before.astype(jnp.float32) + factor * leaf.astype(jnp.float32)).astype(dtype)


def _change(before, leaf) -> jax.Array:
    """The change of one layer, float32."""
    if isinstance(leaf, LoRA):
        return jnp.matmul(leaf.a, leaf.b * leaf.scale, precision='highest')
    return leaf.astype(jnp.float32) - before.astype(jnp.float32)


def _bits(change: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(jnp.abs(change), jnp.int32)


def _by_layer(work: Callable, before, leaf, *more):
    """`work` of one layer after another, so that what it makes on the way is small; of a flat leaf, of all of it."""
    if len(leaf.shape) < 3:
        return work(before, leaf, *more)
    return jax.lax.map(lambda each: work(*each), (before, leaf, *more))


@jax.jit
def _count(before, leaf, bits) -> jax.Array:
    return _by_layer(lambda before, leaf: (_bits(_change(before, leaf)) > bits).sum(), before, leaf)


@functools.partial(jax.jit, static_argnames='dtype')
def _within(before, leaf, dtype: str, low, high) -> jax.Array:
    """Base with the change where the bits of its magnitude are above `low` and at most `high`."""

    def work(before, leaf):
        bits = _bits(_change(before, leaf))
        return _part(before, leaf, (bits > low) & (bits <= high), dtype)

    return _by_layer(work, before, leaf)


@functools.partial(jax.jit, static_argnames='dtype')
def _drawn(before, leaf, dtype: str, key, share) -> jax.Array:
    """Base with the change at a random share of the entries."""
    if len(leaf.shape) < 3:
        return _part(before, leaf, jax.random.bernoulli(key, share, leaf.shape), dtype)

    def work(before, leaf, key):
        return _part(before, leaf, jax.random.bernoulli(key, share, before.shape), dtype)

    return _by_layer(work, before, leaf, jax.random.split(key, leaf.shape[0]))


def _part(before, leaf, kept: jax.Array, dtype: str) -> jax.Array:
    """Base with the change where it is kept; beside a low-rank term's weight that change by itself."""
    change = jnp.where(kept, _change(before, leaf), 0)
    return (change if isinstance(leaf, LoRA) else before.astype(jnp.float32) + change).astype(dtype)


def _beside(before, leaf, part: jax.Array) -> jax.Array | Changed:
    return Changed(before, part) if isinstance(leaf, LoRA) else part
