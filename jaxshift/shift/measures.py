"""How far two next-token distributions are apart: exact over the whole vocabulary, in nats, float32.

With q the base's and p the tuned model's distribution at one position and d = log p - log q per token:

    kl_tuned_base = sum p d        kl_base_tuned = sum -q d
    js = (KL(p || (p + q) / 2) + KL(q || (p + q) / 2)) / 2, at most ln 2 (Lin 1991)

Each divergence is summed termwise in a form that is never negative, because the sum of q - p is 0 and may be added:
p d + q - p = p g(d) with g(d) = d + exp(-d) - 1. Where |d| is small g comes from its series. The naive sums lose
every digit where the models nearly agree, which is most positions of a LoRA. Beside logits and their head product
this is what a sweep costs, so passes over the vocabulary are few and each does little.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

BLOCK = 2048  # tokens of the vocabulary whose terms exist at the same time
SPAN = 64  # tokens of the vocabulary of which the likeliest stands for all in the search for the top k
TINY = 1.2e-38  # the smallest normal float32: keeps 0 / 0 out of the ratio of two probabilities that are both 0 here


class Measures(NamedTuple):
    """One array per column of the token records, each [...] over positions; the top lists are [..., k]."""

    base_argmax_id: jax.Array
    tuned_argmax_id: jax.Array
    base_rank: jax.Array
    emitted_base_rank: jax.Array
    emitted_tuned_rank: jax.Array
    base_logprob: jax.Array
    tuned_logprob: jax.Array
    emitted_base_logprob: jax.Array
    emitted_tuned_logprob: jax.Array
    kl_tuned_base: jax.Array
    kl_base_tuned: jax.Array
    js: jax.Array
    total_variation: jax.Array
    base_entropy: jax.Array
    tuned_entropy: jax.Array
    top_ids_base: jax.Array
    top_logprobs_base: jax.Array
    top_ids_tuned: jax.Array
    top_logprobs_tuned: jax.Array


def measures(
    base_logits: jax.Array, tuned_logits: jax.Array, emitted: jax.Array, top_k: int = 10, axis: str | None = None
) -> Measures:
    """Compares two distributions at each position.

    Args:
      base_logits: [..., V] of the base.
      tuned_logits: [..., V] of the tuned model on the same windows.
      emitted: [...] int32, the token that follows the window in the response.
      top_k: how many of the likeliest tokens of both models are listed.
      axis: name of a shard_map axis over which the vocabulary is cut; logits are then this shard's [..., V / shards],
        the result is the same on every shard, and no shard sees another's logits.

    Returns:
      `Measures`. Ranks are 1-based and among equal logits the lower id comes first; probabilities of the fields
      without `emitted` are those of the tuned model's argmax. Logarithms and divergences are in nats.
    """
    shard = _Vocabulary(base_logits.shape[-1], axis)
    base = _Distribution(base_logits.astype(jnp.float32), shard, top_k)
    tuned = _Distribution(tuned_logits.astype(jnp.float32), shard, top_k)
    kl_tuned_base, kl_base_tuned, js, variation, base_entropy, tuned_entropy = _divergences(base, tuned, shard)
    favourite = tuned.argmax
    return Measures(
        base_argmax_id=base.argmax,
        tuned_argmax_id=favourite,
        base_rank=base.rank(favourite),
        emitted_base_rank=base.rank(emitted),
        emitted_tuned_rank=tuned.rank(emitted),
        base_logprob=base.logprob(favourite),
        tuned_logprob=tuned.logprob(favourite),
        emitted_base_logprob=base.logprob(emitted),
        emitted_tuned_logprob=tuned.logprob(emitted),
        kl_tuned_base=kl_tuned_base,
        kl_base_tuned=kl_base_tuned,
        js=js,
        total_variation=variation,
        base_entropy=base_entropy,
        tuned_entropy=tuned_entropy,
        top_ids_base=base.top_ids,
        top_logprobs_base=base.listed_logprobs(),
        top_ids_tuned=tuned.top_ids,
        top_logprobs_tuned=tuned.listed_logprobs(),
    )


def of_emitted(logits: jax.Array, emitted: jax.Array, axis: str | None = None) -> tuple[jax.Array, jax.Array]:
    """Of one distribution at each position: the log-probability of a token [...], and its rank as in `measures`."""
    distribution = _Distribution(logits.astype(jnp.float32), _Vocabulary(logits.shape[-1], axis), 1)
    return distribution.logprob(emitted), distribution.rank(emitted)


class _Vocabulary:
    """Reductions over the vocabulary, whole or cut over a mesh axis."""

    def __init__(self, size: int, axis: str | None):
        self.axis = axis
        self.ids = jnp.arange(size, dtype=jnp.int32)
        if axis is not None:
            self.ids = self.ids + jax.lax.axis_index(axis).astype(jnp.int32) * size

    def sum(self, x: jax.Array) -> jax.Array:
        return self.reduce(x.sum(-1))

    def reduce(self, total: jax.Array) -> jax.Array:
        """Adds up what the shards have summed."""
        return total if self.axis is None else jax.lax.psum(total, self.axis)

    def top(self, logits: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
        """The k greatest logits and their ids, lower id first among equals; shards merge their short lists."""
        values, index = _top(logits, min(k, logits.shape[-1]))
        ids = self.ids[index]
        if self.axis is None:
            return values, ids
        values = jax.lax.all_gather(values, self.axis, axis=-1, tiled=True)
        ids = jax.lax.all_gather(ids, self.axis, axis=-1, tiled=True)
        values, index = jax.lax.top_k(values, k)
        return values, jnp.take_along_axis(ids, index, axis=-1)


def _top(x: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """The k greatest of the last axis and their indices, lower index first among equals.

    They lie in the k spans with the greatest maxima: for each other span there are k elements before its greatest.
    Taking maxima is several times cheaper than a search through the whole axis.
    """
    spans, lead = x.shape[-1] // SPAN, x.shape[:-1]
    if spans <= k:
        return _top_k(x, k)
    whole, rest = x[..., : spans * SPAN].reshape(*lead, spans, SPAN), x[..., spans * SPAN :]
    _, chosen = _top_k(whole.max(-1), k)
    chosen = jnp.sort(chosen, axis=-1)[..., None]
    likely = jnp.take_along_axis(whole, chosen, axis=-2).reshape(*lead, k * SPAN)
    index = (chosen * SPAN + jnp.arange(SPAN, dtype=jnp.int32)).reshape(*lead, k * SPAN)
    behind = jnp.broadcast_to(jnp.arange(spans * SPAN, x.shape[-1], dtype=jnp.int32), rest.shape)
    values, best = _top_k(jnp.concatenate([likely, rest], axis=-1), k)
    return values, jnp.take_along_axis(jnp.concatenate([index, behind], axis=-1), best, axis=-1)


def _top_k(x: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    # Without the barriers XLA merges later slices into it, no longer sees a top-k, and sorts the whole axis. One for
    # each result: XLA's CPU compiler of a mesh crashes on a barrier around the pair.
    values, index = jax.lax.top_k(x, k)
    return jax.lax.optimization_barrier(values), jax.lax.optimization_barrier(index)


class _Distribution:
    """Logits of one model with what is asked of them more than once."""

    def __init__(self, logits: jax.Array, shard: _Vocabulary, top_k: int):
        self.logits, self.shard = logits, shard
        self.top_logits, self.top_ids = shard.top(logits, top_k)
        self.argmax = self.top_ids[..., 0]
        # Log-probabilities are (logit - peak) - log_norm: exact where it matters, at the likeliest tokens.
        self.peak = self.top_logits[..., 0]
        self.log_norm = jnp.log(shard.sum(jnp.exp(logits - self.peak[..., None])))

    def logit(self, token: jax.Array) -> jax.Array:
        """The logit of one token a position: [...]."""
        local = token - self.shard.ids[0]
        here = (local >= 0) & (local < self.logits.shape[-1])
        value = jnp.take_along_axis(self.logits, jnp.where(here, local, 0)[..., None], axis=-1)
        return self.shard.sum(jnp.where(here[..., None], value, 0))

    def logprob(self, token: jax.Array) -> jax.Array:
        return (self.logit(token) - self.peak) - self.log_norm

    def listed_logprobs(self) -> jax.Array:
        """Log-probabilities of the likeliest tokens: [..., k]."""
        return (self.top_logits - self.peak[..., None]) - self.log_norm[..., None]

    def rank(self, token: jax.Array) -> jax.Array:
        value, token = self.logit(token)[..., None], token[..., None]
        before = (self.logits > value) | ((self.logits == value) & (self.shard.ids < token))
        # A float32 counts exactly to 2**24, and XLA adds floats in one pass.
        return 1 + self.shard.sum(before.astype(jnp.float32)).astype(jnp.int32)


def _divergences(base: _Distribution, tuned: _Distribution, shard: _Vocabulary) -> list[jax.Array]:
    """KL both ways, JS, total variation and both entropies, in one walk over blocks of the vocabulary.

    A block's intermediates stay in cache; whole rows of them would cost several times the arithmetic.
    """
    size = base.logits.shape[-1]
    width = min(BLOCK, size)

    def add_block(i, sums):
        return [total + term for total, term in zip(sums, block(i * width, width), strict=True)]

    def block(start, width):
        base_logits = jax.lax.dynamic_slice_in_dim(base.logits, start, width, axis=-1)
        tuned_logits = jax.lax.dynamic_slice_in_dim(tuned.logits, start, width, axis=-1)
        # The difference of near logits is exact in floating point, that of log-probabilities is not.
        offset = (tuned.peak - base.peak) + (tuned.log_norm - base.log_norm)
        d = (tuned_logits - base_logits) - offset[..., None]
        log_q = (base_logits - base.peak[..., None]) - base.log_norm[..., None]
        log_p = (tuned_logits - tuned.peak[..., None]) - tuned.log_norm[..., None]
        return [term.sum(-1) for term in _terms(log_p, log_q, d)]

    whole = size // width
    sums = block(whole * width, size - whole * width)
    kl_tuned_base, kl_base_tuned, js, variation, base_entropy, tuned_entropy = (
        shard.reduce(total) for total in jax.lax.fori_loop(0, whole, add_block, sums)
    )
    return [kl_tuned_base, kl_base_tuned, js / 2, variation / 2, base_entropy, tuned_entropy]


def _terms(log_p: jax.Array, log_q: jax.Array, d: jax.Array) -> tuple[jax.Array, ...]:
    """What each token adds to the six sums; every term is at least 0."""
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    less, more, both, far_by = jnp.minimum(p, q), jnp.maximum(p, q), p + q, jnp.abs(d)
    near = far_by < 0.5
    small = jnp.where(near, d, 0)
    g = _g(small)
    gap = jnp.where(near, p * (small - g), p - q)
    tuned_base = jnp.where(near, p * g, p * d - gap)
    # With x = d / 2: JS adds gap x - both log cosh x, the series of log cosh for small x.
    square = small * small / 4
    log_cosh = square * (1 / 2 + square * (-1 / 12 + square * (1 / 45 - square * 17 / 2520)))
    js_near = gap * small / 2 - both * log_cosh
    js_far = both * (jnp.log(2.0) - jnp.log(1 + less / jnp.maximum(more, TINY))) - less * far_by
    base_tuned = gap * d - tuned_base  # the two add up to (p - q) d, and neither is small beside the other's rounding
    return tuned_base, base_tuned, jnp.where(near, js_near, js_far), jnp.abs(gap), -q * log_q, -p * log_p


def _g(d: jax.Array) -> jax.Array:
    """d + exp(-d) - 1 for |d| < 1/2 by its series, to float32's precision."""
    return d * d * (1 / 2 + d * (-1 / 6 + d * (1 / 24 + d * (-1 / 120 + d * (1 / 720 - d / 5040)))))
