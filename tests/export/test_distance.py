"""The distances that --mode=verify_export prints, held to float64 NumPy and to the responses one by one."""

import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.export import distance
from jaxshift.shift.contexts import Case


def test_distances_are_those_of_numpy():
    random = np.random.default_rng(0)
    first, head = (random.normal(size=shape).astype(np.float32) for shape in ((70, 16), (16, 30)))
    second, other = (x + 0.1 * random.normal(size=x.shape).astype(np.float32) for x in (first, head))
    found = distance.distance(first, second, jnp.asarray(head), jnp.asarray(other))
    one, two = np.float64(first) @ np.float64(head), np.float64(second) @ np.float64(other)
    q, p = (logits - np.log(np.exp(logits).sum(-1, keepdims=True)) for logits in (one, two))
    same = one.argmax(-1) == two.argmax(-1)
    assert found['positions'] == 70
    assert 0 < same.mean() < 1
    np.testing.assert_allclose(found['greatest_logit_difference'], abs(one - two).max(), rtol=1e-5)
    np.testing.assert_allclose(found['mean_kl'], (np.exp(p) * (p - q)).sum(-1).mean(), rtol=1e-4)
    np.testing.assert_allclose(found['same_top_1'], 100 * same.mean(), rtol=1e-9)


def test_more_responses_than_one_batch_have_the_states_that_each_has_alone(small):
    config, params, _ = small
    random = np.random.default_rng(0)
    cases = []
    for length in range(1, distance.ROWS + 4):
        prompt, response = (random.integers(0, 40, size).tolist() for size in (5, length))
        cases.append(Case(str(length), prompt, prompt, response))
    study = SimpleNamespace(mesh=jax.make_mesh((1,), ('sequence',)), base=SimpleNamespace(config=config))
    together = distance.hidden_states(study, params, cases)
    alone = np.concatenate([distance.hidden_states(study, params, [case]) for case in cases])
    assert together.shape == (sum(range(1, distance.ROWS + 4)), config.hidden_size)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_every_product_of_the_model_is_one_of_all_bits_of_float32(small):
    config, params, _ = small
    tokens, windows = np.zeros((2, 16), np.int32), np.zeros((2, 4), np.int32)
    products = re.findall(r'stablehlo.dot_general.*', distance.states.lower(config, params, tokens, windows).as_text())
    assert products
    assert all(product.count('HIGHEST') == 2 for product in products)
