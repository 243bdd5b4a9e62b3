import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxshift.llama import attention, cache, model, rope

KINDS = {
    'Llama 2': {'num_key_value_heads': 4, 'rope_theta': 1e4},
    'Llama 3': {'num_key_value_heads': 1, 'rope_theta': 5e5},
    'Llama 3.1 beyond the original length': {
        'rope_parameters': {
            'rope_type': 'llama3',
            'rope_theta': 5e5,
            'factor': 8.0,
            'low_freq_factor': 1.0,
            'high_freq_factor': 4.0,
            'original_max_position_embeddings': 32,
        }
    },
    'linear scaling': {'rope_parameters': {'rope_type': 'linear', 'rope_theta': 1e4, 'factor': 4.0}},
    'dynamic scaling beyond the original length': {
        'rope_parameters': {'rope_type': 'dynamic', 'rope_theta': 1e4, 'factor': 2.0},
        'max_position_embeddings': 32,
    },
    'Mistral, several windows': {'model_type': 'mistral', 'sliding_window': 23},
    'Mistral without a window': {'model_type': 'mistral', 'sliding_window': None},
    'tied head': {'tie_word_embeddings': True},
    'head_dim': {'head_dim': 24},
    'attention bias': {'attention_bias': True},
    'mlp bias': {'mlp_bias': True},
}


def torch_logits(torch_model, tokens):
    with torch.no_grad():
        return torch_model(torch.tensor(np.asarray(tokens))).logits.float().numpy()


def logits(config, params, tokens, **how):
    run = jax.jit(lambda params, tokens: model.forward(config, params, tokens, **how) @ model.head(params))
    return np.asarray(run(params, jnp.asarray(tokens)), np.float32)


def draw_tokens(shape, seed=0, vocabulary=40):
    return np.random.default_rng(seed).integers(0, vocabulary, shape).astype(np.int32)


def loss(logits, tokens):
    """Mean cross-entropy of the next token, in float64."""
    wide = np.asarray(logits, np.float64)[0, :-1]
    log_norm = np.log(np.exp(wide - wide.max(-1, keepdims=True)).sum(-1)) + wide.max(-1)
    return (log_norm - wide[np.arange(len(wide)), tokens[0, 1:]]).mean()


@pytest.mark.parametrize('kind', KINDS)
def test_logits_of_a_random_model_are_torchs(ported, monkeypatch, kind):
    config, params, torch_model = ported(**KINDS[kind])
    tokens = draw_tokens((2, 100))
    expected = torch_logits(torch_model, tokens)
    assert abs(expected).max() > 1
    for block, short in ((512, 48), (24, 48)):  # the two forms of attention, each with several blocks
        monkeypatch.setattr(attention, 'BLOCK', block)
        monkeypatch.setattr(attention, 'SHORT', short)
        np.testing.assert_allclose(logits(config, params, tokens), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize('length', [20, 32, 33, 80])
def test_dynamic_scaling_depends_on_the_length_of_the_sequence(ported, length):
    config, params, torch_model = ported(**KINDS['dynamic scaling beyond the original length'])
    plain = dataclasses.replace(config, rope_scaling=None)
    tokens = draw_tokens((1, length))
    ours = logits(config, params, tokens)
    np.testing.assert_allclose(ours, torch_logits(torch_model, tokens), atol=1e-4, rtol=0)
    assert (abs(ours - logits(plain, params, tokens)).max() > 1e-2) == (length > 32)


def test_dynamic_scaling_of_a_packed_sequence_is_that_of_its_own_length(ported):
    config, _, _ = ported(**KINDS['dynamic scaling beyond the original length'])
    lengths = 20, 50, 90
    positions = jnp.concatenate([jnp.arange(n) for n in lengths])[None]
    segments = jnp.repeat(jnp.arange(1, 4), np.array(lengths))[None]
    packed = rope.angles(config, positions, segments)
    alone = [rope.angles(config, jnp.arange(n)[None]) for n in lengths]
    for found, parts in zip(packed, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(found, np.concatenate(parts, axis=1), atol=1e-5, rtol=0)


def greedy(config, params, prompts, steps):
    """Decodes with our cache, prompts padded before to one length."""
    extend = jax.jit(functools.partial(model.extend, config))
    longest = max(map(len, prompts))
    tokens = jnp.asarray([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    valid = jnp.asarray([[False] * (longest - len(prompt)) + [True] * len(prompt) for prompt in prompts])
    filled, found = cache.empty(config, len(prompts), longest + steps, jnp.float32), []
    for _ in range(steps):
        hidden, filled = extend(params, tokens, valid, filled)
        tokens = (hidden[:, -1:] @ model.head(params)).argmax(-1)
        valid = jnp.ones_like(tokens, bool)
        found.append(tokens)
    return np.concatenate(found, axis=1)


def torch_greedy(torch_model, prompt, steps):
    tokens, past, found = torch.tensor(prompt[None]).long(), None, []
    with torch.no_grad():
        for _ in range(steps):
            out = torch_model(tokens, past_key_values=past, use_cache=True)
            tokens, past = out.logits[:, -1:].argmax(-1), out.past_key_values
            found.append(int(tokens))
    return found


@pytest.mark.parametrize('kind', ['Mistral, several windows', 'dynamic scaling beyond the original length'])
def test_decoding_past_the_window_or_the_original_length_gives_torchs_tokens(ported, kind):
    config, params, torch_model = ported(**KINDS[kind])
    prompts = [draw_tokens(n, seed=n) for n in (9, 30)]
    found = greedy(config, params, prompts, 60)
    assert len(np.unique(found)) > 5
    for prompt, tokens in zip(prompts, found, strict=True):
        assert tokens.tolist() == torch_greedy(torch_model, prompt, 60)


def test_logits_of_smollm2_are_torchs_on_2000_tokens(smollm2_source, smollm2_params, smollm2_torch, smollm2_text):
    tokens = np.array([smollm2_text[:2000]])
    expected = torch_logits(smollm2_torch, tokens)
    ours = logits(smollm2_source.config, smollm2_params, tokens)
    assert abs(ours - expected).max() <= 2e-3  # assert_allclose takes seconds for a hundred million numbers
    best = torch.tensor(expected).topk(2).values.numpy()
    clear = best[..., 0] - best[..., 1] >= 1e-3
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(ours.argmax(-1)[clear], expected.argmax(-1)[clear])


@pytest.mark.parametrize('block', [512, 16], ids=['whole', 'chunked'])
def test_packed_rows_equal_separate_rows(small, monkeypatch, block):
    monkeypatch.setattr(attention, 'BLOCK', block)
    config, params, _ = small
    lengths = 13, 30, 7
    tokens = draw_tokens((1, sum(lengths) + 4))
    segments = np.repeat([1, 2, 3, 0], [*lengths, 4])[None]
    positions = np.concatenate([np.arange(n) for n in (*lengths, 4)])[None]
    place = {'positions': jnp.asarray(positions), 'segments': jnp.asarray(segments)}
    packed = logits(config, params, tokens, **place)
    start = 0
    for length in lengths:
        mine = slice(start, start + length)
        # Exactly nothing comes in from the others.
        others = (tokens + 1) % config.vocab_size
        others[:, mine] = tokens[:, mine]
        np.testing.assert_array_equal(packed[:, mine], logits(config, params, others, **place)[:, mine])
        alone = logits(config, params, tokens[:, mine])
        # The rounding of these logits against float64 is up to 1.8e-5, in whatever order they are summed.
        np.testing.assert_allclose(packed[:, mine], alone, atol=2e-5, rtol=0)
        np.testing.assert_allclose(loss(packed[:, mine], tokens[:, mine]), loss(alone, tokens[:, mine]), atol=1e-5)
        start += length


def test_the_gradient_does_not_depend_on_what_a_layer_keeps(small):
    config, params, _ = small
    tokens = jnp.asarray(draw_tokens((2, 20)))

    def gradient(remat):
        score = lambda params: (model.forward(config, params, tokens, remat=remat) @ model.head(params)).std()  # noqa: E731
        return jax.jit(jax.grad(score))(params)

    kept = gradient('none')
    assert min(float(abs(leaf).max()) for leaf in jax.tree.leaves(kept)) > 0
    for remat in model.REMAT:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), kept, gradient(remat))


def test_bfloat16_stays_near_float32(small):
    config, params, _ = small
    tokens = draw_tokens((2, 50))
    exact = logits(config, params, tokens)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    hidden = jax.eval_shape(lambda: model.forward(config, half, jnp.asarray(tokens), dtype=jnp.bfloat16))
    assert hidden.dtype == jnp.bfloat16
    rough = logits(config, half, tokens, dtype=jnp.bfloat16)
    assert 0 < abs(rough - exact).mean() < 0.03 * exact.std()


def test_shapes_describe_what_is_read_and_what_is_drawn(small):
    config, params, _ = small
    described = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), model.shapes(config))
    for tree in (params, jax.jit(lambda: model.init(config, jax.random.key(0)))()):
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) == described
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == config.parameters
