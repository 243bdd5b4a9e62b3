"""Causal attention with grouped queries: one dispatch. Kernels where one fits, else forms that run on every platform.

Shapes: queries [..., T, H, hd], keys and values [..., S, K, hd] with H = K * groups. Scores are float32.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxshift.llama import kernels

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
    length = q.shape[-3]
    if window is not None and window >= length:
        window = None
    kernel = kernels.choose(kernels.here(), q.dtype, length, q.shape[-1], packed=segments is not None)
    if kernel:
        return kernels.KERNELS[kernel](q, k, v, segments, window)
    if segments is None:
        segments = jnp.zeros((q.shape[-4], length), jnp.int32)
    q = _grouped(q, k.shape[-2])
    form = _short if length <= BLOCK else _chunked
    out = form(q, k, v, segments, window)
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


def _chunked(q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array, window: int | None) -> jax.Array:
    """Online softmax over blocks of keys (Rabe & Staats 2021), one block of queries after the other.

    Recomputes inside the backward pass, so that its temporaries too are those of one block of queries.
    """
    length = q.shape[-4]
    blocks = -(-length // BLOCK)
    pad = blocks * BLOCK - length
    q, k, v = _split(q, 4, blocks, pad), _split(k, 3, blocks, pad), _split(v, 3, blocks, pad)
    # Padding lies after every query, so causality alone keeps it out of sight.
    segments = jnp.pad(segments, ((0, 0), (0, pad))).reshape(-1, blocks, BLOCK).swapaxes(0, 1)
    within = jnp.arange(BLOCK)

    def one_query_block(i_q_segments):
        i, q_block, q_segments = i_q_segments

        def add_key_block(carry, j_k_v_segments):
            j, k_block, v_block, k_segments = j_k_v_segments

            def update(carry):
                total, peak, weight = carry
                mask = _mask(i * BLOCK + within, j * BLOCK + within, q_segments, k_segments, window)
                scores = _scores(q_block, k_block, mask)
                new_peak = jnp.maximum(peak, scores.max(-1))
                weights = jnp.exp(scores - new_peak[..., None])
                fade = jnp.exp(peak - new_peak)
                total = total * fade.swapaxes(-3, -2)[..., None] + _mix(weights, v_block)
                return total, new_peak, weight * fade + weights.sum(-1)

            seen = j <= i
            if window is not None:  # the first query of a block and the last key of another are nearest
                seen &= (i - j) * BLOCK - (BLOCK - 1) < window
            return jax.lax.cond(seen, update, lambda carry: carry, carry), None

        heads = q_block.shape[:-4] + (q_block.shape[-3], BLOCK, q_block.shape[-2])
        start = (jnp.zeros(q_block.shape, jnp.float32), jnp.full(heads, NEVER), jnp.zeros(heads))
        steps = (jnp.arange(blocks), k, v, segments)
        (total, _, weight), _ = jax.lax.scan(jax.checkpoint(add_key_block), start, steps)
        return (total / weight.swapaxes(-3, -2)[..., None]).astype(q_block.dtype)

    out = jax.lax.map(jax.checkpoint(one_query_block), (jnp.arange(blocks), q, segments))
    out = jnp.moveaxis(out, 0, -5)
    out = out.reshape(*out.shape[:-5], blocks * BLOCK, *out.shape[-3:])
    return out[..., :length, :, :, :]


def _split(x: jax.Array, trailing: int, blocks: int, pad: int) -> jax.Array:
    """Cuts the axis of positions, `trailing` from the end, into blocks, and moves the blocks to the front."""
    axis = x.ndim - trailing
    x = jnp.pad(x, [(0, pad if i == axis else 0) for i in range(x.ndim)])
    x = x.reshape(*x.shape[:axis], blocks, BLOCK, *x.shape[axis + 1 :])
    return jnp.moveaxis(x, axis, 0)
