"""JAX's splash attention for TPUs, for queries at any positions: blocks that no query sees are left out.

Imported where it runs: Pallas for TPUs takes longer to import than the rest of this room.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention as library

from jaxshift.llama import kernels


class Seen(library.Mask):
    """Queries see the keys up to their own position, without those before a window.

    It has what the kernel needs to compute the mask by itself: `q_sequence` and `mask_function`.
    """

    def __init__(self, positions: np.ndarray, keys: int, window: int | None):
        self.q_sequence = positions
        self.keys, self.window = keys, window

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.q_sequence), self.keys

    def mask_function(self, q_ids, k_ids):
        seen = q_ids >= k_ids
        return seen if self.window is None else seen & (q_ids - k_ids < self.window)

    def __getitem__(self, blocks: tuple[slice, slice]) -> np.ndarray:
        """One block of the mask; [1, 1] where it is one value, for at 131,072 positions most are, of a million each."""
        q_ids, k_ids = self.q_sequence[blocks[0]], np.arange(blocks[1].start, blocks[1].stop)
        first, last = q_ids.min(), q_ids.max()
        late = last < k_ids[0]
        if late or (self.window is not None and first - k_ids[-1] >= self.window):
            return np.zeros((1, 1), bool)
        if first >= k_ids[-1] and (self.window is None or last - k_ids[0] < self.window):
            return np.ones((1, 1), bool)
        return self.mask_function(q_ids[:, None], k_ids[None])


def kernel(
    positions: np.ndarray, keys: int, heads: int, window: int | None, block: int, shards: int = 1
):
    """Attention of queries at `positions` to `keys` positions from 0 on.

    Args:
      positions: [T] int32, those of all shards one after the other.
      keys: number of keys.
      heads: of queries.
      window: positions that are seen, a position's own included; None: all.
      block: positions of queries, and of keys, that are computed together; it divides both numbers, and each shard's.
      shards: equal parts of the queries, which the kernel's `manual_sharding_spec` deals out.
    """
    mask = Seen(positions, keys, window)
    return library.make_splash_mha(
        mask=library.MultiHeadMask([mask] * heads),
        block_sizes=library.BlockSizes(
            block_q=block, block_kv=block, block_q_dkv=block, block_kv_dkv=block, block_q_dq=block, block_kv_dq=block
        ),
        head_shards=1,
        q_seq_shards=shards,
    )


def attend(kernel, q: jax.Array, k: jax.Array, v: jax.Array, segments: tuple[jax.Array, jax.Array] | None) -> jax.Array:
    """Runs a kernel over rows.

    Args:
      kernel: that of `kernel`, or a device's part of it.
      q: [..., B, T, H, hd].
      k: [..., B, S, K, hd].
      v: [..., B, S, K, hd].
      segments: of queries [B, T] and of keys [B, S], or None.

    Returns:
      [..., B, T, H, hd].
    """
    shape = q.shape
    q, k, v = (kernels.rows(x).swapaxes(1, 2) for x in (q * shape[-1] ** -0.5, k, v))
    if segments is None:
        out = jax.vmap(kernel)(q, k, v)
    else:
        own, others = (jnp.repeat(x, len(q) // len(x), axis=0) for x in segments)
        out = jax.vmap(lambda q, k, v, *both: kernel(q, k, v, library.SegmentIds(*both)))(q, k, v, own, others)
    return kernels.unrows(out.swapaxes(1, 2), shape)
