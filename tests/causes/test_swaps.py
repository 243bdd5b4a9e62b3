"""Cross-sampling, against plain decoding of either model and a loop over windows."""

import jax
import numpy as np
import pytest

from jaxshift.causes import swaps
from jaxshift.llama import model
from jaxshift.respond.decode import Decoder, generate
from jaxshift.respond.responses import Prompt


@pytest.fixture(scope='module')
def models(small):
    """Decoder, a model, and one near it."""
    config, params, _ = small
    keys = iter(jax.random.split(jax.random.key(0), 100))
    other = jax.tree.map(lambda leaf: leaf + 0.05 * jax.random.normal(next(keys), leaf.shape), params)
    return Decoder(config, 'float32', (2,), 12), params, other


@pytest.fixture(scope='module')
def prompts():
    rng = np.random.default_rng(0)
    return [Prompt(f'q{i}', '', rng.integers(3, 40, rng.integers(2, 9)).tolist()) for i in range(7)]


def plainly(models, which, prompts):
    ids = generate(models[0], models[which], [prompt.token_ids for prompt in prompts], 16)
    return {prompt.example_id: tokens for prompt, tokens in zip(prompts, ids, strict=True)}


def tokens(found):
    return {name: each.token_ids for name, each in found.items()}


def by_windows(models, prompt, ids):
    """Next-token distributions of both models at every window, in float64."""
    sequence = np.array([[*prompt.token_ids, *ids]])
    found = []
    for params in models[1:]:
        hidden = np.asarray(model.forward(models[0].config, params, sequence)[0], np.float64)
        logits = hidden[len(prompt.token_ids) - 1 : -1] @ np.asarray(model.head(params), np.float64)
        weight = np.exp(logits - logits.max(-1, keepdims=True))
        found.append(weight / weight.sum(-1, keepdims=True))
    return found


def test_nowhere_and_everywhere_are_the_two_models_themselves(models, prompts):
    decoder, host, donor = models
    one, other = (plainly(models, which, prompts) for which in (1, 2))
    assert one != other
    nowhere = swaps.crossed(decoder, host, donor, prompts, 4)
    assert tokens(nowhere) == one
    assert not any(each.swapped.any() for each in nowhere.values())
    for settings in ({'at': 0.0}, {'chance': 1.0}):
        everywhere = swaps.crossed(decoder, host, donor, prompts, 4, **settings)
        assert tokens(everywhere) == other
        assert all(each.swapped.all() for each in everywhere.values())


def test_tokens_are_swapped_where_the_js_of_a_loop_is_at_the_limit(models, prompts):
    decoder, host, donor = models
    js = np.concatenate([each.js for each in swaps.crossed(decoder, host, donor, prompts, 7).values()])
    at = swaps.limit(js, 0.3)
    assert (js >= at).mean() == pytest.approx(0.3, abs=1 / len(js))
    found = swaps.crossed(decoder, host, donor, prompts, 7, at=at)
    for prompt in prompts:
        each = found[prompt.example_id]
        q, p = by_windows(models, prompt, each.token_ids)
        middle = (p + q) / 2
        wanted = ((p * np.log(p / middle)).sum(-1) + (q * np.log(q / middle)).sum(-1)) / 2
        np.testing.assert_allclose(each.js, wanted, rtol=1e-3, atol=1e-6)
        np.testing.assert_array_equal(each.swapped, wanted >= at)
        np.testing.assert_array_equal(each.token_ids, np.where(each.swapped, p.argmax(-1), q.argmax(-1)))
        np.testing.assert_array_equal(each.changed, each.swapped & (p.argmax(-1) != q.argmax(-1)))
    assert any(each.changed.any() for each in found.values())


def test_by_lot_as_many_positions_are_swapped_as_asked_and_the_same_ones_again(models, prompts):
    decoder, host, donor = models
    many = [Prompt(f'{prompt.example_id}-{i}', '', prompt.token_ids) for prompt in prompts for i in range(10)]
    found, again, other = (
        swaps.crossed(decoder, host, donor, many, size, chance=0.3, seed=seed)
        for size, seed in ((70, 0), (9, 0), (70, 1))
    )
    swapped = np.concatenate([each.swapped for each in found.values()])
    assert swapped.mean() == pytest.approx(0.3, abs=0.06)
    assert tokens(found) == tokens(again)  # whatever the batch
    assert tokens(found) != tokens(other)


def test_of_no_budget_nothing_is_swapped():
    assert swaps.limit(np.array([0.1, 0.5]), 0.1) == swaps.NEVER
    assert swaps.limit(np.array([0.1, 0.5]), 1) == 0
    assert swaps.limit(np.array([0.1, 0.5, 0.2]), 2 / 3) == 0.2
