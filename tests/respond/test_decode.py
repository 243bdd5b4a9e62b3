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
from jaxshift.respond import sampling as module
from jaxshift.respond.decode import Decoder, generate
from jaxshift.respond.sampling import Sampling
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
    return prompts, generate(Decoder(smollm2_source.config, 'float32', (), 16), smollm2_params, prompts, 64)


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
    found = generate(Decoder(config, 'float32', stop_ids, 40), params, prompts, 32)
    assert found == expected
    assert kept
    assert kept == sorted(kept, reverse=True)  # finished rows have left


def test_padding_before_a_prompt_changes_nothing(small, prompts):
    config, params, _ = small
    expected = [uncached(config, params, prompt, (), 6) for prompt in prompts]
    for length in (30, 64):
        assert generate(Decoder(config, 'float32', (), 6), params, prompts, length) == expected


def test_a_response_ends_where_the_context_does(small):
    config, params, _ = small
    short = dataclasses.replace(config, max_position_embeddings=20)
    found = generate(Decoder(short, 'float32', (), 12), params, [[5] * 4, [6] * 15, [7] * 19], 32)
    assert [len(ids) for ids in found] == [12, 5, 1]
    assert found[1] == uncached(config, params, [6] * 15, (), 5)


def test_dynamic_scaling_is_decoded_as_torch_does_up_to_the_context_that_it_makes(ported):
    config, params, theirs = ported(
        rope_parameters={'rope_type': 'dynamic', 'rope_theta': 1e4, 'factor': 2.0}, max_position_embeddings=32
    )
    prompts = [np.random.default_rng(length).integers(3, 40, length).tolist() for length in (9, 30)]
    found = generate(Decoder(config, 'float32', (), 60), params, prompts, 32)
    assert [len(ids) for ids in found] == [64 - 9, 64 - 30]
    for prompt, ids in zip(prompts, found, strict=True):
        with torch.no_grad():
            whole = theirs.generate(
                torch.tensor([prompt]), max_new_tokens=len(ids), do_sample=False, eos_token_id=None, pad_token_id=0
            )
        assert ids == whole[0, len(prompt) :].tolist()
        assert len(set(ids)) > 5


def test_lazy_weights_are_decoded_as_folded_ones(small, prompts):
    config, base, _ = small
    spec = LoraSpec(('q_proj', 'v_proj'), 4, 8.0)
    adapter = jax.tree.map(
        lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape), lora.init(jax.random.key(0), base, spec)
    )
    lazy = lora.merge(base, adapter, spec)
    decoder = Decoder(config, 'float32', (), 8)
    found = generate(decoder, lazy, prompts, 32)
    assert found == generate(decoder, lora.fold(lazy), prompts, 32)
    assert found != generate(decoder, base, prompts, 32)


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


@pytest.mark.parametrize(
    'sampling',
    [
        Sampling(temperature=0.7),
        Sampling(temperature=1.5, top_k=5),
        Sampling(temperature=1.0, top_p=0.6),
        Sampling(temperature=0.8, top_k=12, top_p=0.9, repetition_penalty=1.3),
    ],
)
def test_the_distribution_that_is_drawn_from_is_that_of_transformers(sampling):
    from transformers.generation import logits_process as theirs

    random = np.random.default_rng(0)
    logits = (3 * random.standard_normal((50, 40))).astype(np.float32)
    ids = random.integers(0, 40, (50, 9))
    seen = np.zeros((50, 40), bool)
    np.put_along_axis(seen, ids, True, axis=1)
    steps = theirs.LogitsProcessorList([theirs.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)])
    steps.append(theirs.TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        steps.append(theirs.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        steps.append(theirs.TopPLogitsWarper(sampling.top_p))
    expected = torch.softmax(steps(torch.tensor(ids), torch.tensor(logits)), -1).numpy()
    found = module.filtered(sampling, module.penalised(sampling, logits, seen))
    np.testing.assert_allclose(jax.nn.softmax(found), expected, atol=1e-6)


def test_tokens_are_drawn_as_often_as_they_are_likely():
    logits = jnp.log(jnp.array([0.5, 0.3, 0.15, 0.05]))
    rows = jnp.broadcast_to(logits, (20_000, 4))
    sampling = Sampling(temperature=1.0, top_k=3)
    keys = module.keys(sampling, [f'q{number}' for number in range(20_000)])
    drawn = module.choose(sampling, rows, module.Draws(keys, jnp.zeros(rows.shape, bool)), jnp.int32(0))
    shares = np.bincount(drawn, minlength=4) / 20_000
    np.testing.assert_allclose(shares, np.array([0.5, 0.3, 0.15, 0]) / 0.95, atol=0.015)  # 4 standard errors


def test_a_response_depends_on_its_name_and_seed_and_not_on_its_batch(small, prompts):
    config, params, _ = small
    names = [f'q{number}' for number in range(len(prompts))]
    decoder = Decoder(config, 'float32', (7,), 12, Sampling(temperature=1.0, top_p=0.95, repetition_penalty=1.1))
    together = generate(decoder, params, prompts, 32, names)
    for number in (6, 0, 3):
        assert generate(decoder, params, [prompts[number]], 64, [names[number]]) == [together[number]]
    same = generate(decoder, params, [prompts[0]] * 3, 32, ['a', 'a#1', 'a'])
    assert same[0] == same[2] != same[1]
    other = dataclasses.replace(decoder, sampling=dataclasses.replace(decoder.sampling, seed=1))
    assert generate(other, params, prompts, 32, names) != together


def test_a_repetition_penalty_alone_is_that_of_transformers(small, prompts):
    config, params, theirs = small
    found = generate(Decoder(config, 'float32', (), 12, Sampling(repetition_penalty=1.5)), params, prompts, 32)
    assert found != generate(Decoder(config, 'float32', (), 12), params, prompts, 32)
    for prompt, ids in zip(prompts, found, strict=True):
        with torch.no_grad():
            whole = theirs.generate(
                torch.tensor([prompt]), max_new_tokens=12, do_sample=False, repetition_penalty=1.5,
                eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
        assert ids == whole[0, len(prompt) :].tolist()
