"""The key-value cache of decoding: prompts end at the same slot, padding stands before them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from jaxshift.llama.config import LlamaConfig


@partial(jax.tree_util.register_dataclass, data_fields=['k', 'v', 'valid', 'filled'], meta_fields=[])
@dataclass
class Cache:
    """Keys and values of the positions seen so far.

    Attributes:
      k: [L, B, S, K, hd] and v likewise.
      valid: [B, S] bool; False for padding and for slots not filled yet.
      filled: int32 scalar, the slot that the next position takes, the same for every row.
    """

    k: jax.Array
    v: jax.Array
    valid: jax.Array
    filled: jax.Array


def empty(config: LlamaConfig, batch: int, slots: int, dtype) -> Cache:
    """A cache of `slots` positions for `batch` rows."""
    shape = (config.num_hidden_layers, batch, slots, config.num_key_value_heads, config.head_dim)
    return Cache(
        k=jnp.zeros(shape, dtype),
        v=jnp.zeros(shape, dtype),
        valid=jnp.zeros((batch, slots), bool),
        filled=jnp.zeros((), jnp.int32),
    )
