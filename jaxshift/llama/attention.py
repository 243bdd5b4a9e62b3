"""Causal attention with grouped queries: one dispatch. Kernels where one fits, else forms that run on every platform.

Shapes: queries [..., T, H, hd], keys and values [..., S, K, hd] with H = K * groups. Scores are float32.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jaxshift.llama import kernels, sequence
from jaxshift.llama.sequence import Dealt

BLOCK = 512  # positions of queries and of keys whose scores exist at the same time
SHORT = 128  # queries of a row up to BLOCK that look at the keys up to their own, and at no later ones
NEVER = -1e30  # a score that is masked out; finite, so that no row of scores turns into NaN


def causal(
    q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array | None = None, window: int | None = None
) -> jax.Array:
    """Each position attends to itself and to earlier positions of its own segment.

    Args:
      q: [..., B, T, H, hd].
      k: [..., B, T, K, hd].
      v: [..., B, T, K, hd].
      segments: [B, T] int32; positions of different segments do not see each other. None: one segment a row.
      window: positions that are seen, a position's own included (Mistral's sliding window); None: all.

    Returns:
      [..., B, T, H, hd] in q's dtype. Temporaries grow with T, never with T * T.
    """
    if window is not None and window >= q.shape[-3]:
        window = None
    return sequence.over_mesh(_attend, q, k, v, segments, window)


def _attend(
    q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array | None, window: int | None, dealt: Dealt | None = None
) -> jax.Array:
    """`causal` for the rows and heads of one device, or of XLA to cut; queries are at all positions or where `dealt`."""
    length = k.shape[-3]
    if dealt is None:
        kernel = kernels.choose(kernels.here(), q.dtype, length, q.shape[-1], packed=segments is not None)
        if kernel:
            return kernels.KERNELS[kernel](q, k, v, segments, window)
    if segments is None:
        segments = jnp.zeros((k.shape[-4], length), jnp.int32)
    q = _grouped(q, k.shape[-2])
    if dealt:
        out = _chunked(q, k, v, dealt.index, math.gcd(dealt.piece, BLOCK), segments, window)
    elif length <= BLOCK:
        out = _short(q, k, v, segments, window)
    else:
        out = _chunked(q, k, v, jnp.arange(length), BLOCK, segments, window)
    return out.reshape(*out.shape[:-3], -1, out.shape[-1])


def cached(
    q: jax.Array, k: jax.Array, v: jax.Array, valid: jax.Array, newest: jax.Array | int, window: int | None = None
) -> jax.Array:
    """New positions attend to the filled slots of a cache.

    Args:
      q: [B, 1, H, hd], one new position a row.
      k: [B, S, K, hd] cached keys, the new one included.
      v: [B, S, K, hd] cached values.
      valid: [B, S] bool, the slots that may be seen.
      newest: slot of the new position; those of a row follow each other without a gap.
      window: as in `causal`.
    """
    if window is not None:
        valid = valid & (jnp.arange(valid.shape[1]) > newest - window)
    out = _softmax_mix(_grouped(q, k.shape[-2]), k, v, valid[:, None, None, None, :])
    return out.reshape(*out.shape[:-3], -1, out.shape[-1])


def _grouped(q: jax.Array, kv_heads: int) -> jax.Array:
    """[..., T, H, hd] to [..., T, K, G, hd], scaled by 1 / sqrt(hd)."""
    *lead, heads, size = q.shape
    return (q * size**-0.5).reshape(*lead, kv_heads, heads // kv_heads, size)


def _mask(
    q_index: jax.Array, k_index: jax.Array, q_segments: jax.Array, k_segments: jax.Array, window: int | None
) -> jax.Array:
    """[B, 1, T, 1, S] bool: later keys, those before the window and other segments are masked."""
    seen = (q_index[:, None] >= k_index[None, :]) & (q_segments[..., :, None] == k_segments[..., None, :])
    if window is not None:
        seen &= q_index[:, None] - k_index[None, :] < window
    return seen[:, None, :, None]


def _scores(q: jax.Array, k: jax.Array, mask: jax.Array) -> jax.Array:
    """[..., K, T, G, S], the order in which the product comes: any other would move all scores once more."""
    scores = jnp.einsum('...tkgh,...skh->...ktgs', q, k, preferred_element_type=jnp.float32)
    return jnp.where(mask, scores, NEVER)


def _mix(weights: jax.Array, v: jax.Array) -> jax.Array:
    return jnp.einsum('...ktgs,...skh->...tkgh', weights.astype(v.dtype), v, preferred_element_type=jnp.float32)


def _softmax_mix(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array) -> jax.Array:
    return _mix(jax.nn.softmax(_scores(q, k, mask), axis=-1), v).astype(q.dtype)


def _short(q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array, window: int | None) -> jax.Array:
    """A few blocks of queries, each with the keys that it may see: nearly half of the scores are never computed.

    Heads come first and positions and groups are one axis, so that both products are plain batched matrix products.
    """
    length, groups, size = q.shape[-4], q.shape[-2], q.shape[-1]
    index = jnp.arange(length)
    q, k, v = jnp.moveaxis(q, -4, -3), jnp.moveaxis(k, -3, -1), jnp.moveaxis(v, -3, -2)
    parts = []
    for start in range(0, length, SHORT):
        end = min(start + SHORT, length)
        seen = slice(0 if window is None else max(0, start + 1 - window), end)
        part = q[..., start:end, :, :]  # [..., K, t, G, hd]
        flat = part.reshape(*part.shape[:-3], (end - start) * groups, size)
        scores = jnp.matmul(flat, k[..., seen], preferred_element_type=jnp.float32)
        scores = scores.reshape(*part.shape[:-1], end - seen.start)
        mask = _mask(index[start:end], index[seen], segments[:, start:end], segments[:, seen], window)
        scores = jnp.where(mask, scores, NEVER)
        weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
        flat_weights = weights.reshape(*flat.shape[:-1], end - seen.start).astype(v.dtype)
        mixed = jnp.matmul(flat_weights, v[..., seen, :], preferred_element_type=jnp.float32)
        # The sum divides what is mixed, which is shorter than the weights.
        parts.append((mixed.reshape(part.shape) / weights.sum(-1, keepdims=True)).astype(q.dtype))
    return jnp.moveaxis(jnp.concatenate(parts, axis=-3), -3, -4)


def _chunked(
    q: jax.Array, k: jax.Array, v: jax.Array, index: jax.Array, block: int, segments: jax.Array, window: int | None
) -> jax.Array:
    """Online softmax over blocks of keys (Rabe & Staats 2021), one block of queries after the other.

    Recomputes inside the backward pass, so that its temporaries too are those of one block of queries.

    Args:
      q: [..., B, T, K, G, hd].
      k: [..., B, S, K, hd].
      v: [..., B, S, K, hd].
      index: [T] positions of the queries, ascending inside every block.
      block: queries in a block.
      segments: [B, S].
      window: as in `causal`.
    """
    length = q.shape[-4]
    own = jnp.asarray(segments)[:, index]
    q, k, v = _split(q, -4, block), _split(k, -3, BLOCK), _split(v, -3, BLOCK)
    index = jnp.pad(index, (0, -length % block), mode='edge').reshape(-1, block)
    # Padding lies after every query, so causality alone keeps it out of sight.
    own, segments = _split(own, -1, block), _split(segments, -1, BLOCK)
    starts = jnp.arange(len(k)) * BLOCK

    def one_query_block(part):
        q_block, q_index, q_segments, seen = part

        def add_key_block(carry, part):
            k_block, v_block, k_segments, start, is_seen = part

            def update(carry):
                total, peak, weight = carry
                mask = _mask(q_index, start + jnp.arange(BLOCK), q_segments, k_segments, window)
                scores = _scores(q_block, k_block, mask)
                new_peak = jnp.maximum(peak, scores.max(-1))
                weights = jnp.exp(scores - new_peak[..., None])
                fade = jnp.exp(peak - new_peak)
                total = total * fade.swapaxes(-3, -2)[..., None] + _mix(weights, v_block)
                return total, new_peak, weight * fade + weights.sum(-1)

            return jax.lax.cond(is_seen, update, lambda carry: carry, carry), None

        heads = q_block.shape[:-4] + (q_block.shape[-3], block, q_block.shape[-2])
        start = (jnp.zeros(q_block.shape, jnp.float32), jnp.full(heads, NEVER), jnp.zeros(heads))
        steps = (k, v, segments, starts, seen)
        (total, _, weight), _ = jax.lax.scan(jax.checkpoint(add_key_block), start, steps)
        return (total / weight.swapaxes(-3, -2)[..., None]).astype(q_block.dtype)

    out = jax.lax.map(jax.checkpoint(one_query_block), (q, index, own, seen_blocks(index, len(k), window)))
    out = jnp.moveaxis(out, 0, -5)
    out = out.reshape(*out.shape[:-5], -1, *out.shape[-3:])
    return out[..., :length, :, :, :]


def seen_blocks(index: jax.Array, blocks: int, window: int | None) -> jax.Array:
    """Which blocks of keys some query of a block sees: positions [Q, n], ascending in a block, to [Q, blocks] bool."""
    first_key = jnp.arange(blocks) * BLOCK
    seen = first_key <= index[:, -1:]
    if window is not None:
        seen &= index[:, :1] - (first_key + BLOCK - 1) < window
    return seen


def _split(x: jax.Array, axis: int, block: int) -> jax.Array:
    """Cuts an axis of positions, padded behind, into blocks, and moves the blocks to the front."""
    axis += x.ndim
    x = jnp.pad(x, [(0, -x.shape[axis] % block if i == axis else 0) for i in range(x.ndim)])
    x = x.reshape(*x.shape[:axis], -1, block, *x.shape[axis + 1 :])
    return jnp.moveaxis(x, axis, 0)
