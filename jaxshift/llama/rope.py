"""Rotary position embedding (Su et al. 2021), in the rotate-half layout of Hugging Face."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.llama.config import LlamaConfig


def frequencies(config: LlamaConfig) -> np.ndarray:
    """Radians a position for each pair of coordinates: [head_dim / 2] float32, Llama 3 scaling included."""
    exponent = np.arange(0, config.head_dim, 2, dtype=np.float32) / config.head_dim
    inverse = (1.0 / config.rope_theta**exponent).astype(np.float32)
    scaling = config.rope_scaling
    if scaling is None:
        return inverse
    wavelength = 2 * math.pi / inverse
    original = scaling.original_max_position_embeddings
    # 1 where a wave fits the original context often enough to be kept, 0 where it is stretched by the whole factor.
    kept = (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    kept = np.clip(kept, 0, 1)
    return (kept * inverse + (1 - kept) * inverse / scaling.factor).astype(np.float32)


def angles(config: LlamaConfig, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of every rotation: positions [B, T] to two arrays [B, T, 1, head_dim / 2] float32."""
    turn = positions[..., None, None].astype(jnp.float32) * frequencies(config)
    return jnp.cos(turn), jnp.sin(turn)


def rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Rotates queries or keys [..., B, T, heads, head_dim]; the halves hold the two coordinates of each pair."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
