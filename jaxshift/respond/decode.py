"""Decoding of a batch: the whole loop is one compiled program, which finished rows leave early."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.llama import cache, model
from jaxshift.llama.cache import Cache
from jaxshift.llama.config import LlamaConfig
from jaxshift.respond import sampling
from jaxshift.respond.sampling import Draws, Sampling


@dataclass(frozen=True)
class Decoder:
    """All that a compiled decoding loop depends on, except the shapes of its arrays; hashable.

    Attributes:
      config: shape of the model.
      dtype: name of the dtype of activations and cache.
      stop_ids: tokens that end a response.
      max_new_tokens: most tokens of a response.
      sampling: how tokens are chosen; None: the likeliest is taken.
    """

    config: LlamaConfig
    dtype: str
    stop_ids: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling | None = None


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=['cache', 'last', 'out', 'step', 'count', 'room', 'draws'],
    meta_fields=[],
)
@dataclass
class _State:
    """Rows that are being decoded.

    Attributes:
      cache: every token but the last.
      last: [B] int32, the token decoded last.
      out: [B, max_new_tokens] int32.
      step: int32 scalar, tokens decoded so far in the rows that go on.
      count: [B] int32, tokens of each response.
      room: [B] int32, most tokens of each response; a row whose count has come to it is finished.
      draws: what choosing a token needs; None where decoding is greedy.
    """

    cache: Cache
    last: jax.Array
    out: jax.Array
    step: jax.Array
    count: jax.Array
    room: jax.Array
    draws: Draws | None


def generate(
    decoder: Decoder, params: dict, prompts: list[list[int]], length: int, names: Sequence[str] = ()
) -> list[list[int]]:
    """Decodes one batch.

    Args:
      decoder: what to compile.
      params: parameter tree; projections may be lazy leaves.
      prompts: token ids, at least one and at most `length` each, and fewer than the model's context.
      length: tokens that prompts are padded to; a few values keep compilations few.
      names: one a prompt, from which its draws come; not looked at where decoding is greedy.

    Returns:
      The new tokens of each prompt, the stop token included. A response ends without one after `max_new_tokens`, or
      where prompt and response fill the model's context.
    """
    tokens, valid, room = laid_out(decoder, prompts, length)
    keys = sampling.keys(decoder.sampling, names or [''] * len(prompts)) if decoder.sampling else None
    state = prefill(decoder, params, tokens, valid, room, keys)
    responses: list[list[int]] = [[] for _ in prompts]
    rows = np.arange(len(prompts))  # which prompt each row of the state belongs to
    while True:
        state = decode(decoder, params, state)
        count, room, out = meshes.host((state.count, state.room, state.out))
        for index, ids, number in zip(rows, out, count, strict=True):
            responses[index] = ids[:number].tolist()
        active = np.flatnonzero(count < room)
        if not len(active):
            return responses
        # A power of two of rows keeps compilations few; finished rows fill it up.
        size = 1 << (len(active) - 1).bit_length()
        keep = np.concatenate([active, np.flatnonzero(count >= room)])[:size]
        state, rows = _keep(state, keep), rows[keep]


def laid_out(decoder: Decoder, prompts: Sequence[list[int]], length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts behind padding [B, length], where they are no padding, and the most tokens of each response [B]."""
    tokens = np.zeros((len(prompts), length), np.int32)
    valid = np.zeros((len(prompts), length), bool)
    for row, prompt in enumerate(prompts):
        tokens[row, length - len(prompt) :] = prompt
        valid[row, length - len(prompt) :] = True
    context = decoder.config.context
    room = np.array([min(decoder.max_new_tokens, context - len(prompt)) for prompt in prompts], np.int32)
    return tokens, valid, room


@functools.partial(jax.jit, static_argnames='decoder')
def prefill(
    decoder: Decoder, params: dict, tokens: jax.Array, valid: jax.Array, room: jax.Array, keys: jax.Array | None
) -> _State:
    """Reads the prompts, which end at the same slot, and decodes the first token."""
    rows, length = tokens.shape
    dtype = jnp.dtype(decoder.dtype)
    empty = cache.empty(decoder.config, rows, length + decoder.max_new_tokens, dtype)
    empty = sharding.constrain_tree({'cache': empty})['cache']
    hidden, filled = model.extend(decoder.config, params, tokens, valid, empty, dtype=dtype)
    zeros = jnp.zeros(rows, jnp.int32)
    out = jnp.zeros((rows, decoder.max_new_tokens), jnp.int32)
    draws = None
    if keys is not None:
        seen = jnp.zeros((rows, decoder.config.vocab_size), bool).at[jnp.arange(rows)[:, None], tokens].max(valid)
        draws = Draws(keys, seen)
    state = _State(filled, zeros, out, jnp.int32(0), zeros, room, draws)
    return _emit(decoder, params, state, hidden[:, -1], filled)


@functools.partial(jax.jit, static_argnames='decoder', donate_argnames='state')
def decode(decoder: Decoder, params: dict, state: _State) -> _State:
    """Decodes until no more than half of the rows go on."""
    rows = len(state.last)
    every = jnp.ones((rows, 1), bool)

    def goes_on(state):
        return (state.count < state.room).sum() > rows // 2

    def body(state):
        last = state.last[:, None]
        hidden, longer = model.extend(decoder.config, params, last, every, state.cache, dtype=jnp.dtype(decoder.dtype))
        return _emit(decoder, params, state, hidden[:, -1], longer)

    return jax.lax.while_loop(goes_on, body, state)


def _emit(decoder: Decoder, params: dict, state: _State, hidden: jax.Array, filled: Cache) -> _State:
    """Adds each row's next token."""
    head = model.head(params)
    logits = jnp.einsum('bd,dv->bv', hidden, head.astype(hidden.dtype), preferred_element_type=jnp.float32)
    draws = state.draws
    if decoder.sampling and draws:
        token = sampling.choose(decoder.sampling, logits, draws, state.step).astype(jnp.int32)
        draws = Draws(draws.keys, draws.seen.at[jnp.arange(len(token)), token].set(True))
    else:
        token = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    active = state.count < state.room
    count = state.count + active
    stops = jnp.isin(token, jnp.asarray(decoder.stop_ids, jnp.int32))
    return _State(
        cache=filled,
        last=token,
        out=jax.lax.dynamic_update_slice(state.out, jnp.where(active, token, 0)[:, None], (0, state.step)),
        step=state.step + 1,
        count=count,
        room=jnp.where(active & stops, count, state.room),
        draws=draws,
    )


@jax.jit
def _keep(state: _State, rows: jax.Array) -> _State:
    """The state of some rows alone."""
    old = state.cache
    kept = Cache(k=old.k[:, rows], v=old.v[:, rows], valid=old.valid[rows], filled=old.filled)
    return _State(
        cache=kept,
        last=state.last[rows],
        out=state.out[rows],
        step=state.step,
        count=state.count[rows],
        room=state.room[rows],
        draws=jax.tree.map(lambda x: x[rows], state.draws),
    )
