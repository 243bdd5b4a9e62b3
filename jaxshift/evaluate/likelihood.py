"""Log-likelihoods of continuations: what a model would say to a text that it is given, batched by length."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxshift.data.batches import bucket
from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.shift import sweep
from jaxshift.shift.measures import of_emitted

CHUNK = 128  # positions whose distributions exist at the same time, on each device


@dataclass(frozen=True)
class Scorer:
    """How continuations are scored; hashable, so that a compiled step depends on it.

    Attributes:
      config: shape of the model.
      dtype: name of the dtype of activations.
      batch_size: rows of a batch.
    """

    config: LlamaConfig
    dtype: str
    batch_size: int


class Scores(NamedTuple):
    """Of each token of a continuation: its log-probability, float32 in nats, and its rank, int32 from 1; both [n]."""

    logprobs: np.ndarray
    ranks: np.ndarray


@functools.partial(jax.jit, static_argnames='scorer')
def score(
    scorer: Scorer, params: dict, tokens: jax.Array, ends: jax.Array, wanted: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Scores tokens behind windows of a batch of texts.

    Args:
      scorer: what to compile.
      params: parameter tree; projections may be lazy leaves.
      tokens: [B, T] int32, padding behind.
      ends: [B, R] int32, the last position of each window.
      wanted: [B, R] int32, the token behind each window.

    Returns:
      Its log-probability [B, R], float32 in nats, and its rank, int32; among equals the lower id comes first.
    """
    place = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
    # Dynamic rope scaling takes the greatest position for a row's length; padding is none of it.
    place = jnp.where(place <= ends.max(axis=1, keepdims=True), place, 0)
    hidden = model.forward(scorer.config, params, tokens, place, dtype=jnp.dtype(scorer.dtype))
    hidden, head = jnp.take_along_axis(hidden, ends[..., None], axis=1), model.head(params)
    rows, length = wanted.shape
    own = P(sharding.dividing(sharding.ROWS, rows), sharding.dividing('sequence', length))
    vocabulary = sharding.dividing('tensor', head.shape[1])
    by_chunks = functools.partial(_by_chunks, 'tensor' if vocabulary else None)
    return sharding.each_device(by_chunks, (own, P(None, vocabulary), own), own)(hidden, head, wanted)


def _by_chunks(axis: str | None, hidden: jax.Array, head: jax.Array, wanted: jax.Array):
    return sweep.in_chunks(lambda x, token: of_emitted(sweep.logits(x, head), token, axis), CHUNK, hidden, wanted)


def log_likelihoods(
    scorer: Scorer,
    params: dict,
    requests: Sequence[tuple[list[int], list[int]]],
    mesh: Mesh,
    progress: Callable[[int], None],
) -> list[tuple[float, bool]]:
    """Log-probability of each continuation in nats, and whether greedy decoding would have written it; see `scores`."""
    found = scores(scorer, params, requests, mesh, progress)
    return [(float(each.logprobs.astype(np.float64).sum()), bool((each.ranks == 1).all())) for each in found]


def scores(
    scorer: Scorer,
    params: dict,
    requests: Sequence[tuple[list[int], list[int]]],
    mesh: Mesh,
    progress: Callable[[int], None],
) -> list[Scores]:
    """What a model would say to each token of each continuation.

    The continuations of one text are scored by one row, as the choices of one token are of a question. Every process
    computes every batch, since each may hold a part of the parameters alone.

    Args:
      scorer: how.
      params: of the model.
      requests: (context, continuation), token ids, at least one of each; together at most one more than the model's
        context, because the last is not read.
      mesh: rows of a batch are dealt over it.
      progress: takes the number of requests that are done.
    """
    asked: dict[tuple[int, ...], list[int]] = {}  # what is read, and who asks for it
    for index, (context, continuation) in enumerate(requests):
        asked.setdefault((*context, *continuation)[:-1], []).append(index)
    # The longest first: what does not fit the devices is known at once.
    texts = sorted(asked, key=lambda text: (-len(text), text))
    found: dict[int, Scores] = {}
    size = scorer.batch_size + -scorer.batch_size % meshes.row_shards(mesh)
    for start in range(0, len(texts), size):
        batch = texts[start : start + size]
        rows = [[_windows(*requests[index]) for index in asked[text]] for text in batch]
        laid_out = _laid_out(scorer.config.context, size, mesh.shape['sequence'], batch, rows)
        logprobs, ranks = meshes.host(score(scorer, params, **meshes.put_rows(mesh, laid_out)))
        for number, text in enumerate(batch):
            first = 0
            for index in asked[text]:
                own = slice(first, first := first + len(requests[index][1]))
                found[index] = Scores(logprobs[number, own], ranks[number, own])
        progress(len(found))
    return [found[index] for index in range(len(requests))]


def _windows(context: list[int], continuation: list[int]) -> list[tuple[int, int]]:
    """(last position of the window, token behind it) of every token of a continuation."""
    return list(enumerate(continuation, start=len(context) - 1))


def _laid_out(context: int, size: int, parts: int, batch: Sequence[tuple[int, ...]], rows) -> dict[str, np.ndarray]:
    """`tokens`, `ends` and `wanted` of `score`, of few shapes; rows that fill the batch up say nothing."""
    windows = [[window for windows in row for window in windows] for row in rows]
    longest = max(map(len, batch))
    length = max(longest, min(bucket(longest), context))
    tokens = np.zeros((size, length + -length % parts), np.int32)
    width = bucket(max(map(len, windows)))
    ends, wanted = np.zeros((2, size, width + -width % parts), np.int32)
    for number, (text, found) in enumerate(zip(batch, windows, strict=True)):
        tokens[number, : len(text)] = text
        ends[number, : len(found)], wanted[number, : len(found)] = zip(*found, strict=True)
    return {'tokens': tokens, 'ends': ends, 'wanted': wanted}
