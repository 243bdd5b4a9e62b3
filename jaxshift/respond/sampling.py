"""From logits to the next token where decoding is not plainly greedy."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen; filters apply in this order, as in transformers' generate.

    Attributes:
      repetition_penalty: logits of tokens that prompt or response hold are divided by it where they are positive and
        multiplied where they are negative (Keskar et al., arXiv 1909.05858).
      temperature: divides the logits; 0: the likeliest token is taken, and what follows is not looked at.
      top_k: keeps so many likeliest tokens; 0: all.
      top_p: keeps the likeliest tokens that together have this probability (Holtzman et al., arXiv 1904.09751).
      seed: of the draws.
    """

    repetition_penalty: float = 1.0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


class Draws(NamedTuple):
    """What choosing needs to know of each response: its random key [B], and the tokens it holds, [B, V] bool."""

    keys: jax.Array
    seen: jax.Array


def keys(sampling: Sampling, names: Sequence[str]) -> jax.Array:
    """One key [B] a response, which depends on the seed and on the response's name alone, not on its batch."""
    numbers = jnp.asarray([zlib.crc32(name.encode()) for name in names], jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(sampling.seed), numbers)


def choose(sampling: Sampling, logits: jax.Array, draws: Draws, step: jax.Array) -> jax.Array:
    """The next token [B] of each row.

    Args:
      sampling: how.
      logits: [B, V] float32.
      draws: keys of the responses, and the tokens of prompts and responses.
      step: tokens decoded before this one; no two tokens of a response share a draw.
    """
    logits = penalised(sampling, logits, draws.seen)
    if sampling.temperature == 0:
        return jnp.argmax(logits, axis=-1)
    drawn = jax.vmap(jax.random.fold_in, (0, None))(draws.keys, step)
    return jax.vmap(jax.random.categorical)(drawn, filtered(sampling, logits))


def filtered(sampling: Sampling, logits: jax.Array) -> jax.Array:
    """Logits [B, V] at the temperature, -inf at tokens that are not drawn; tokens as likely as the last kept stay."""
    logits = logits / sampling.temperature
    if sampling.top_k:
        kept = jax.lax.top_k(logits, min(sampling.top_k, logits.shape[-1]))[0]
        logits = jnp.where(logits < kept[:, -1:], -jnp.inf, logits)
    if sampling.top_p < 1:
        ordered = -jnp.sort(-logits, axis=-1)
        share = jax.nn.softmax(ordered, axis=-1)
        before = jnp.cumsum(share, axis=-1) - share
        least = jnp.where(before < sampling.top_p, ordered, jnp.inf).min(-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def penalised(sampling: Sampling, logits: jax.Array, seen: jax.Array) -> jax.Array:
    """Logits [B, V] after the repetition penalty."""
    penalty = sampling.repetition_penalty
    return jnp.where(seen, jnp.where(logits < 0, logits * penalty, logits / penalty), logits)
