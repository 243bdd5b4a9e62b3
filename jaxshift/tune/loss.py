"""Cross-entropy of trained positions, chunk by chunk: logits of all positions never exist together.

On a mesh every device computes with its own rows, positions and part of the vocabulary, which none sees whole.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jaxshift.devices import sharding

CHUNK = 512  # trained positions whose logits exist at the same time, on each device


def cross_entropy(hidden: jax.Array, head: jax.Array, tokens: jax.Array, trained: jax.Array) -> jax.Array:
    """Sum of -log p(token) over trained tokens, in nats.

    Positions that are not trained are skipped before the head. The gradient is computed with the loss, so that the
    backward pass does not run the head again.

    Args:
      hidden: [B, T, D] hidden states; position t - 1 predicts the token at t.
      head: [D, V].
      tokens: [B, T] int32.
      trained: [B, T] bool; the first position of a row is never a target.

    Returns:
      float32 scalar.
    """
    rows, length = tokens.shape
    target = jnp.roll(tokens, -1, axis=1)
    wanted = jnp.roll(trained, -1, axis=1).at[:, -1].set(False)
    rows //= sharding.count(sharding.dividing(sharding.ROWS, rows))
    parts = sharding.count(('sequence',))
    width = max(1, min(length // parts, CHUNK // rows))
    pad = -length % (width * parts)
    # Within each row trained positions come first: no row needs another row's device for it.
    order = jnp.argsort(~wanted, axis=1, stable=True)
    order = jnp.pad(order, ((0, 0), (0, pad)))
    counts = wanted.sum(axis=1)
    hidden = jnp.take_along_axis(hidden, order[..., None], axis=1)
    return _summed(width, hidden, head, jnp.take_along_axis(target, order, axis=1), counts)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _summed(width, hidden, head, target, counts):
    return _forward(width, hidden, head, target, counts, want_hidden=False, want_head=False)[0]


def _summed_fwd(width, hidden, head, target, counts):
    loss, d_hidden, d_head = _forward(
        width, hidden.value, head.value, target.value, counts.value, hidden.perturbed, head.perturbed
    )
    return loss, (d_hidden, d_head)


def _summed_bwd(width, gradients, g):
    d_hidden, d_head = (None if d is None else (d * g).astype(d.dtype) for d in gradients)
    return d_hidden, d_head, None, None


_summed.defvjp(_summed_fwd, _summed_bwd, symbolic_zeros=True)


def _forward(width, hidden, head, target, counts, want_hidden, want_head):
    """Loss and, where wanted, its gradients; `counts` trained positions stand first in each row."""
    chunks = -(-counts.max() // width)
    rows, positions = sharding.dividing(sharding.ROWS, len(target)), sharding.dividing('sequence', target.shape[1])
    vocabulary = sharding.dividing('tensor', head.shape[1])
    cut, words = P(rows, positions), P(None, vocabulary)
    on_each = functools.partial(_on_each, width, rows + positions, positions, vocabulary, want_hidden, want_head)
    # Cast before it is gathered.
    loss, d_hidden, d_head = sharding.each_device(
        on_each, (cut, words, cut, P(rows), P()), (cut, cut if want_hidden else None, words if want_head else None)
    )(hidden, head.astype(hidden.dtype), target, counts, chunks)
    return loss.sum(), d_hidden, None if d_head is None else d_head.astype(head.dtype)


def _on_each(width, batch, positions, vocabulary, want_hidden, want_head, hidden, head, target, counts, chunks):
    """One device's part: its loss [1, 1], its positions' gradient, and that of its part of the head.

    `batch`, `positions` and `vocabulary` name the axes of the mesh over which the batch, its positions, and the head
    are cut.
    """
    length, words = target.shape[1], head.shape[1]
    before = _index(positions) * length  # positions of a row that other devices have, and words likewise
    first = _index(vocabulary) * words
    chunks = jnp.minimum(chunks, length // width)
    d_hidden = jnp.zeros_like(hidden) if want_hidden else None
    d_head = jnp.zeros(head.shape, jnp.float32) if want_head else None

    def step(i, carry):
        loss, d_hidden, d_head = carry
        start = i * width
        x = jax.lax.dynamic_slice_in_dim(hidden, start, width, axis=1)
        y = jax.lax.dynamic_slice_in_dim(target, start, width, axis=1) - first
        valid = (before + start + jnp.arange(width)) < counts[:, None]
        logits = jnp.einsum('btd,dv->btv', x, head, preferred_element_type=jnp.float32)
        log_norm = _log_norm(logits, vocabulary)
        here = (y >= 0) & (y < words)
        chosen = jnp.take_along_axis(logits, jnp.where(here, y, 0)[..., None], axis=-1)[..., 0]
        chosen = jax.lax.psum(jnp.where(here, chosen, 0), vocabulary)
        loss = loss + jnp.where(valid, log_norm - chosen, 0).sum()
        if want_hidden or want_head:
            hit = jnp.arange(words) == y[..., None]
            d_logits = jnp.where(valid[..., None], jnp.exp(logits - log_norm[..., None]) - hit, 0).astype(x.dtype)
        if want_hidden:
            d_x = jax.lax.psum(jnp.einsum('btv,dv->btd', d_logits, head), vocabulary)
            d_hidden = jax.lax.dynamic_update_slice_in_dim(d_hidden, d_x, start, axis=1)
        if want_head:
            d_head = d_head + jnp.einsum('btd,btv->dv', x, d_logits, preferred_element_type=jnp.float32)
        return loss, d_hidden, d_head

    loss, d_hidden, d_head = jax.lax.fori_loop(0, chunks, step, (jnp.float32(0), d_hidden, d_head))
    if want_head:
        d_head = jax.lax.psum(d_head, batch)
    return loss[None, None], d_hidden, d_head


def _index(axes: tuple[str, ...]) -> jax.Array | int:
    return jax.lax.axis_index(axes) if axes else 0


def _log_norm(logits: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Logarithm of the sum of exponentials over a vocabulary that may be cut over axes of the mesh."""
    peak = jax.lax.pmax(logits.max(-1), axes)
    return jnp.log(jax.lax.psum(jnp.exp(logits - peak[..., None]).sum(-1), axes)) + peak
