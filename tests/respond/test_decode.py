import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxshift.llama import cache, model
from jaxshift.llama.linear import LoraSpec
from jaxshift.respond import decode
from jaxshift.respond.decode import Decoder, greedy
from jaxshift.tune import lora


@functools.partial(jax.jit, static_argnums=0)
def _logits(config, params, tokens):
    return model.forward(config, params, tokens) @ model.head(params)


def uncached(config, params, prompt, stop_ids, room):
    """Greedy decoding that runs everything so far through the model again for every token."""
    ids, out = list(prompt), []
    for _ in range(room):
        tokens = np.zeros((1, 128), np.int32)  # padding behind is not seen
        tokens[0, : len(ids)] = ids
        out.append(int(_logits(config, params, tokens)[0, len(ids) - 1].argmax()))
        ids.append(out[-1])
        if out[-1] in stop_ids:
            break
    return out


@pytest.fixture(scope='module')
def prompts():
    random = np.random.default_rng(2)
    return [random.integers(3, 40, length).tolist() for length in (5, 17, 1, 30, 9, 24, 13)]


@pytest.fixture(scope='module')
def twenty(smollm2_source, smollm2_params, smollm2_text):
    """Twenty prompts of 64 tokens of prose, and what SmolLM2 goes on with."""
    prompts = [smollm2_text[start : start + 64] for start in range(0, 20 * 64, 64)]
    return prompts, greedy(Decoder(smollm2_source.config, 'float32', (), 16), smollm2_params, prompts, 64)


def test_twenty_prompts_of_smollm2_are_continued_as_torch_does(twenty, smollm2_torch):
    prompts, ours = twenty
    with torch.no_grad():
        theirs = smollm2_torch.generate(
            torch.tensor(prompts), max_new_tokens=16, do_sample=False, eos_token_id=None, pad_token_id=0
        )
    assert ours == theirs[:, 64:].tolist()


def test_the_cache_changes_no_token_of_smollm2(twenty, smollm2_source, smollm2_params):
    """Every token that was decoded is the likeliest one when all of them are read at once, without a cache."""
    tokens = jnp.asarray(np.concatenate(twenty, axis=1)[:, :-1])

    def best(params):
        hidden = model.forward(smollm2_source.config, params, tokens)
        return (hidden[:, 63:] @ model.head(params)).argmax(-1)

    assert twenty[1] == jax.jit(best)(smollm2_params).tolist()


def test_rows_of_other_lengths_stop_at_their_own_time(small, prompts, monkeypatch):
    config, params, _ = small
    free = [uncached(config, params, prompt, (), 40) for prompt in prompts]
    stop_ids = free[0][4], free[3][11]
    expected = [uncached(config, params, prompt, stop_ids, 40) for prompt in prompts]
    assert len({len(ids) for ids in expected}) >= 4
    kept = []
    monkeypatch.setattr(
        decode, '_keep', lambda state, rows, keep=decode._keep: kept.append(len(rows)) or keep(state, rows)
    )
    found = greedy(Decoder(config, 'float32', stop_ids, 40), params, prompts, 32)
    assert found == expected
    assert kept
    assert kept == sorted(kept, reverse=True)  # finished rows have left


def test_padding_before_a_prompt_changes_nothing(small, prompts):
    config, params, _ = small
    expected = [uncached(config, params, prompt, (), 6) for prompt in prompts]
    for length in (30, 64):
        assert greedy(Decoder(config, 'float32', (), 6), params, prompts, length) == expected


def test_a_response_ends_where_the_context_does(small):
    config, params, _ = small
    short = dataclasses.replace(config, max_position_embeddings=20)
    found = greedy(Decoder(short, 'float32', (), 12), params, [[5] * 4, [6] * 15, [7] * 19], 32)
    assert [len(ids) for ids in found] == [12, 5, 1]
    assert found[1] == uncached(config, params, [6] * 15, (), 5)


def test_lazy_weights_are_decoded_as_folded_ones(small, prompts):
    config, base, _ = small
    spec = LoraSpec(('q_proj', 'v_proj'), 4, 8.0)
    adapter = jax.tree.map(
        lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape), lora.init(jax.random.key(0), base, spec)
    )
    lazy = lora.merge(base, adapter, spec)
    decoder = Decoder(config, 'float32', (), 8)
    found = greedy(decoder, lazy, prompts, 32)
    assert found == greedy(decoder, lora.fold(lazy), prompts, 32)
    assert found != greedy(decoder, base, prompts, 32)


def test_hidden_states_behind_a_cache_are_those_without(small):
    config, params, _ = small
    tokens = np.random.default_rng(0).integers(0, 40, (2, 12)).astype(np.int32)
    whole = jax.jit(lambda tokens: model.forward(config, params, tokens))(tokens)
    extend = jax.jit(lambda tokens, filled: model.extend(config, params, tokens, jnp.ones(tokens.shape, bool), filled))
    found, filled = extend(tokens[:, :9], cache.empty(config, 2, 14, jnp.float32))
    np.testing.assert_allclose(found, whole[:, :9], atol=1e-5)
    for t in range(9, 12):
        found, filled = extend(tokens[:, t : t + 1], filled)
        np.testing.assert_allclose(found[:, 0], whole[:, t], atol=1e-5)
    assert filled.filled == 12
