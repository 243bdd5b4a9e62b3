"""NEFTune: noise on the embeddings while training."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def neftune(keys: jax.Array, segments: jax.Array, alpha: float, width: int) -> jax.Array:
    """Uniform noise in [-1, 1] times alpha / sqrt(L * D) (Jain et al. 2023, arXiv 2310.05914).

    Args:
      keys: [B] random keys, one a row, so that a row's noise does not depend on the rows computed with it.
      segments: [B, T] int32, 0 for padding, else the number of the example within its row.
      alpha: strength; the paper tried 5, 10 and 15.
      width: D, the hidden size.

    Returns:
      [B, T, D] float32; L is the number of tokens of the example that a position belongs to, without padding.
      Padding gets none.
    """
    length = segments.shape[1]

    def row(key, segments):
        sizes = jnp.bincount(segments, length=length + 1)[segments]
        bound = jnp.where(segments > 0, alpha / jnp.sqrt(sizes.astype(jnp.float32) * width), 0)
        return bound[:, None] * jax.random.uniform(key, (length, width), minval=-1, maxval=1)

    return jax.vmap(row)(keys, segments)
