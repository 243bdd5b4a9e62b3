"""Rotary position embedding (Su et al. 2021), in the rotate-half layout of Hugging Face."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.llama.config import DynamicScaling, LinearScaling, Llama3Scaling, LlamaConfig


def frequencies(config: LlamaConfig) -> np.ndarray:
    """Radians a position for each pair of coordinates: [head_dim / 2] float32.

    Linear and Llama 3 scaling are included; dynamic scaling is not, which begins beyond the original length.
    """
    exponent = np.arange(0, config.head_dim, 2, dtype=np.float32) / config.head_dim
    inverse = (1.0 / config.rope_theta**exponent).astype(np.float32)
    scaling = config.rope_scaling
    if isinstance(scaling, LinearScaling):
        return (inverse / scaling.factor).astype(np.float32)
    if not isinstance(scaling, Llama3Scaling):
        return inverse
    wavelength = 2 * math.pi / inverse
    original = scaling.original_max_position_embeddings
    # 1 where a wave fits the original context often enough to be kept, 0 where it is stretched by the whole factor.
    kept = (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    kept = np.clip(kept, 0, 1)
    return (kept * inverse + (1 - kept) * inverse / scaling.factor).astype(np.float32)


def angles(config: LlamaConfig, positions: jax.Array, segments: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of every rotation: positions [B, T] to two arrays [B, T, 1, head_dim / 2] float32.

    Under dynamic scaling all positions of a sequence turn by the frequencies of its whole length, as in a forward pass
    of transformers over that sequence alone; a sequence is a segment [B, T], or the row where there are none. A
    position that is decoded turns by the length up to it, and keys in the cache stay as they are: as transformers
    decodes.
    """
    turn = positions[..., None, None].astype(jnp.float32) * frequencies(config)
    if isinstance(config.rope_scaling, DynamicScaling):
        turn = turn / _slowing(config.rope_scaling, config.head_dim, _lengths(positions, segments))
    return jnp.cos(turn), jnp.sin(turn)


def _slowing(scaling: DynamicScaling, head_dim: int, lengths: jax.Array) -> jax.Array:
    """What dynamic NTK scaling divides the frequencies of sequences of some lengths by: [B, T or 1, 1, head_dim / 2].

    theta grows by g ** (d / (d - 2)), d = head_dim, where g = factor * length / original - (factor - 1); so the
    frequency theta ** (-i / d) of pair i / 2 falls by g ** (i / (d - 2)), by g for the slowest.
    """
    factor, original = scaling.factor, scaling.original_max_position_embeddings
    growth = factor * jnp.maximum(lengths, original).astype(jnp.float32) / original - (factor - 1)
    exponent = np.arange(0, head_dim, 2, dtype=np.float32) / (head_dim - 2)
    return growth[..., None, None] ** exponent


def _lengths(positions: jax.Array, segments: jax.Array | None) -> jax.Array:
    """Length of the sequence that each position belongs to: [B, T], or [B, 1] where a row is one sequence."""
    if segments is None:
        return positions.max(axis=-1, keepdims=True) + 1
    last = jax.vmap(lambda row, own: jax.ops.segment_max(row, own, num_segments=len(row) + 1)[own])
    return last(positions, segments) + 1


def rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Rotates queries or keys [..., B, T, heads, head_dim]; the halves hold the two coordinates of each pair."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
