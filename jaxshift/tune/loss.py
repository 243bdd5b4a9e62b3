"""Cross-entropy of trained positions, chunk by chunk: logits of all positions never exist together."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

CHUNK = 512  # trained positions of a batch whose logits exist at the same time


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
    width = max(1, min(length, CHUNK // rows))
    pad = -length % width
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
    d_hidden = jnp.zeros_like(hidden) if want_hidden else None
    d_head = jnp.zeros(head.shape, jnp.float32) if want_head else None

    def step(i, carry):
        loss, d_hidden, d_head = carry
        start = i * width
        x = jax.lax.dynamic_slice_in_dim(hidden, start, width, axis=1)
        y = jax.lax.dynamic_slice_in_dim(target, start, width, axis=1)
        valid = (start + jnp.arange(width)) < counts[:, None]
        logits = jnp.einsum('btd,dv->btv', x, head.astype(x.dtype), preferred_element_type=jnp.float32)
        log_norm = jax.nn.logsumexp(logits, axis=-1)
        chosen = jnp.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
        loss = loss + jnp.where(valid, log_norm - chosen, 0).sum()
        if want_hidden or want_head:
            hit = jnp.arange(logits.shape[-1]) == y[..., None]
            d_logits = jnp.where(valid[..., None], jnp.exp(logits - log_norm[..., None]) - hit, 0).astype(x.dtype)
        if want_hidden:
            d_x = jnp.einsum('btv,dv->btd', d_logits, head.astype(x.dtype))
            d_hidden = jax.lax.dynamic_update_slice_in_dim(d_hidden, d_x, start, axis=1)
        if want_head:
            d_head = d_head + jnp.einsum('btd,btv->dv', x, d_logits, preferred_element_type=jnp.float32)
        return loss, d_hidden, d_head

    loss, d_hidden, d_head = jax.lax.fori_loop(0, chunks, step, (jnp.float32(0), d_hidden, d_head))
    return loss, d_hidden, None if d_head is None else d_head.astype(head.dtype)
