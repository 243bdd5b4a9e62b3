"""Rows of the embedding for tokens. On a mesh no device gathers the table: what it looks up moves instead."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jaxshift.devices import sharding


def look_up(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """[V, D] by tokens [B, T] to [B, T, D].

    Each device reads the part of the table that it has, for all tokens of its fsdp group; XLA then exchanges columns
    for rows among the group.
    """
    words, columns = sharding.dividing('tensor', table.shape[0]), sharding.dividing('fsdp', table.shape[1])
    rows, positions = sharding.dividing('data', tokens.shape[0]), sharding.dividing('sequence', tokens.shape[1])
    read = sharding.each_device(
        functools.partial(_read, words), (P(words, columns), P(rows, positions)), P(rows, positions, columns)
    )
    return sharding.constrain(read(table, tokens), sharding.RESIDUAL)


def _read(words: tuple[str, ...], table: jax.Array, tokens: jax.Array) -> jax.Array:
    if not words:
        return table[tokens]
    local = tokens - jax.lax.axis_index(words) * len(table)
    here = (local >= 0) & (local < len(table))
    return jax.lax.psum(jnp.where(here[..., None], table[jnp.where(here, local, 0)], 0), words)
