"""Cross-sampling: a model decodes, and at some positions takes the token that another would take.

Which positions: those where the two distributions are farthest apart (Jensen-Shannon), or any by lot, the control. The
decoding goes on from the token that was taken, so both models always read one text.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.llama import cache, model
from jaxshift.llama.cache import Cache
from jaxshift.respond import sampling
from jaxshift.respond.decode import Decoder, laid_out
from jaxshift.respond.responses import Prompt, batches
from jaxshift.respond.sampling import Sampling
from jaxshift.shift.measures import measures
from jaxshift.shift.sweep import logits

NEVER = math.inf  # a JS that no position reaches


class Crossed(NamedTuple):
    """One response: its tokens, the JS at each in nats, where the donor's token was taken, and where it was another."""

    token_ids: list[int]
    js: np.ndarray
    swapped: np.ndarray
    changed: np.ndarray


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=['caches', 'last', 'step', 'count', 'room', 'out'], meta_fields=[]
)
@dataclass
class _State:
    """Rows that are decoded: caches of host and donor, last token [B], tokens so far, and per position what happened.

    A row whose count [B] has come to its room [B] is finished.
    """

    caches: tuple[Cache, Cache]
    last: jax.Array
    step: jax.Array
    count: jax.Array
    room: jax.Array
    out: dict[str, jax.Array]


def crossed(
    decoder: Decoder,
    host: dict,
    donor: dict,
    prompts: Sequence[Prompt],
    batch_size: int,
    at: float = NEVER,
    chance: float = 0.0,
    seed: int = 0,
) -> dict[str, Crossed]:
    """Responses of `host`, greedy, with tokens of `donor` in their place, by example id.

    Args:
      decoder: how to decode; what it says of sampling is not looked at.
      host, donor: parameters.
      prompts: what is answered.
      batch_size: prompts decoded together.
      at: the donor's token is taken where the JS divergence is at least this; 0: everywhere.
      chance: and at each position with this probability.
      seed: of these draws.
    """
    found = {}
    for batch, filled, length in batches(prompts, batch_size):
        tokens, valid, room = laid_out(decoder, [prompt.token_ids for prompt in filled], length)
        keys = sampling.keys(Sampling(seed=seed), [prompt.example_id for prompt in filled])
        count, out = meshes.host(_decode(decoder, host, donor, tokens, valid, room, keys, at, chance))
        for row, prompt in enumerate(batch):
            each = {name: values[row, : count[row]] for name, values in out.items()}
            found[prompt.example_id] = Crossed(each.pop('tokens').tolist(), **each)
    return found


def limit(js: np.ndarray, budget: float) -> float:
    """The JS that the given share of positions [N] reach, of equal ones all; 0 where all are to, `NEVER` where none."""
    count = round(budget * len(js))
    if count == len(js):
        return 0.0  # another text has others
    return float(np.sort(js)[-count]) if count else NEVER


@functools.partial(jax.jit, static_argnames='decoder')
def _decode(decoder: Decoder, host, donor, tokens, valid, room, keys, at, chance):
    rows, length = tokens.shape
    dtype, slots = jnp.dtype(decoder.dtype), length + decoder.max_new_tokens
    empty = sharding.constrain_tree({'cache': cache.empty(decoder.config, rows, slots, dtype)})['cache']
    zeros = jnp.zeros(rows, jnp.int32)
    kinds = {'tokens': jnp.int32, 'js': jnp.float32, 'swapped': bool, 'changed': bool}
    out = {name: jnp.zeros((rows, decoder.max_new_tokens), kind) for name, kind in kinds.items()}
    state = _State((empty, empty), zeros, jnp.int32(0), zeros, room, out)

    def emitted(state: _State, tokens, valid) -> _State:
        """The rows one token longer, after both models have read `tokens`."""
        read = [
            model.extend(decoder.config, params, tokens, valid, before, dtype=dtype)
            for params, before in zip((host, donor), state.caches, strict=True)
        ]
        of_host, of_donor = (
            logits(hidden[:, -1], model.head(params)) for params, (hidden, _) in zip((host, donor), read, strict=True)
        )
        both = measures(of_host, of_donor, zeros, top_k=1)
        drawn = jax.vmap(jax.random.uniform)(jax.vmap(jax.random.fold_in, (0, None))(keys, state.step))
        swapped = (both.js >= at) | (drawn < chance)
        token = jnp.where(swapped, both.tuned_argmax_id, both.base_argmax_id)
        new = {
            'tokens': token,
            'js': both.js,
            'swapped': swapped,
            'changed': swapped & (both.tuned_argmax_id != both.base_argmax_id),
        }
        active = state.count < state.room
        count = state.count + active
        stops = jnp.isin(token, jnp.asarray(decoder.stop_ids, jnp.int32))
        return _State(
            caches=(read[0][1], read[1][1]),
            last=token,
            step=state.step + 1,
            count=count,
            room=jnp.where(active & stops, count, state.room),
            out={
                name: jax.lax.dynamic_update_slice(values, new[name][:, None], (0, state.step))
                for name, values in state.out.items()
            },
        )

    every = jnp.ones((rows, 1), bool)
    state = emitted(state, tokens, valid)
    state = jax.lax.while_loop(
        lambda state: (state.count < state.room).any(), lambda state: emitted(state, state.last[:, None], every), state
    )
    return state.count, state.out
