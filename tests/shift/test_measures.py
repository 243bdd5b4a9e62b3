import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_loops import assert_same, by_loops

from jaxshift.shift import measures as module
from jaxshift.shift.measures import measures

fast = jax.jit(measures, static_argnames=('top_k', 'axis'))


def draw(scale, vocabulary, rows=12, sharpness=3.0):
    """Logits of a base, those of a tuned model `scale` away from it, and emitted tokens, some likely and some not."""
    random = np.random.default_rng(0)
    base = random.normal(0, sharpness, (rows, vocabulary)).astype(np.float32)
    tuned = (base + random.normal(0, scale, base.shape)).astype(np.float32)
    emitted = np.where(np.arange(rows) % 2, tuned.argmax(-1), random.integers(0, vocabulary, rows))
    return base, tuned, emitted.astype(np.int32)


@pytest.mark.parametrize('scale', [1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0])
def test_random_logits_have_the_measures_of_a_float64_loop(scale):
    drawn = draw(scale, 5000)
    assert_same(fast(*drawn), by_loops(*drawn))


@pytest.mark.parametrize('scale', [1e-4, 1e-3, 1e-2])
def test_small_divergences_keep_their_digits(scale):
    drawn = draw(scale, 5000)
    found, expected = fast(*drawn), by_loops(*drawn)
    assert expected.kl_tuned_base.max() < scale**2
    for name in ('kl_tuned_base', 'kl_base_tuned', 'js'):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-4, err_msg=name)


@pytest.mark.parametrize('vocabulary', [11, 64, 65, 127, 129, 1000])
def test_blocks_of_the_vocabulary_need_not_fit_it(monkeypatch, vocabulary):
    monkeypatch.setattr(module, 'BLOCK', 64)
    drawn = draw(0.5, vocabulary)
    assert_same(jax.jit(measures)(*drawn), by_loops(*drawn))  # a new jit: BLOCK is no argument


@pytest.mark.parametrize('sharpness', [0.01, 30.0])
def test_flat_and_sharp_distributions_are_measured_as_well(sharpness):
    drawn = draw(0.2, 3000, sharpness=sharpness)
    assert_same(fast(*drawn), by_loops(*drawn))


def test_smollm2_and_a_changed_copy_have_the_measures_of_a_float64_loop(smollm2_source, smollm2_params, smollm2_text):
    from jaxshift.llama import model

    config = smollm2_source.config
    tokens = jnp.asarray([smollm2_text[:25]])
    head = model.head(smollm2_params)
    hidden = jax.jit(lambda params: model.forward(config, params, tokens)[0])
    base = hidden(smollm2_params)
    for scale in (1e-3, 0.05):
        noise = jax.random.normal(jax.random.key(0), smollm2_params['layers']['v_proj'].shape)
        changed = smollm2_params['layers'] | {'v_proj': smollm2_params['layers']['v_proj'] * (1 + scale * noise)}
        tuned = hidden(smollm2_params | {'layers': changed})
        logits = np.asarray(base @ head)[:-1], np.asarray(tuned @ head)[:-1]
        found = fast(*logits, np.asarray(tokens)[0, 1:])
        assert_same(found, by_loops(*logits, np.asarray(tokens)[0, 1:].tolist()))
    assert np.median(found.kl_tuned_base) > 1e-4


def test_ties_are_ranked_by_the_lower_id():
    base = np.array([[1, 5, 5, 5, 0, 5, 2, 2]], np.float32)
    tuned = np.array([[0, 1, 1, 9, 0, 1, 9, 1]], np.float32)
    found = fast(base, tuned, np.array([7], np.int32), top_k=8)
    assert found.tuned_argmax_id.tolist() == [3]
    assert found.base_argmax_id.tolist() == [1]
    assert found.base_rank.tolist() == [3]  # behind 1 and 2, before 5
    assert found.emitted_base_rank.tolist() == [6]  # behind the four fives and token 6
    assert found.emitted_tuned_rank.tolist() == [6]  # behind the nines and tokens 1, 2 and 5
    assert found.top_ids_base.tolist() == [[1, 2, 3, 5, 6, 7, 0, 4]]
    assert found.top_ids_tuned.tolist() == [[3, 6, 1, 2, 5, 7, 0, 4]]


def test_ranks_and_lists_are_exact_where_many_logits_are_equal():
    random = np.random.default_rng(3)
    base, tuned = random.integers(-3, 4, (2, 20, 900)).astype(np.float32)
    emitted = random.integers(0, 900, 20).astype(np.int32)
    assert_same(fast(base, tuned, emitted), by_loops(base, tuned, emitted))


def test_equal_logits_have_no_distance_at_all():
    base, _, emitted = draw(1.0, 5000)
    found = fast(base, base.copy(), emitted)
    for name in ('kl_tuned_base', 'kl_base_tuned', 'js', 'total_variation'):
        np.testing.assert_array_equal(getattr(found, name), 0, err_msg=name)
    np.testing.assert_array_equal(found.base_rank, 1)
    np.testing.assert_array_equal(found.base_entropy, found.tuned_entropy)


@pytest.mark.parametrize('scale', [1e-7, 1e-5, 1e-2, 1.0, 40.0])
def test_divergences_keep_their_bounds(scale):
    found = fast(*draw(scale, 2000, rows=64))
    for name in ('kl_tuned_base', 'kl_base_tuned', 'js', 'total_variation'):
        assert (np.asarray(getattr(found, name)) >= 0).all(), name
    assert (np.asarray(found.js) <= np.log(2) * (1 + 1e-6)).all()
    assert (np.asarray(found.total_variation) <= 1 + 1e-6).all()


def test_models_that_exclude_each_other_reach_the_bounds():
    base, tuned = np.full((2, 1, 50), -200, np.float32)
    base[0, 3], tuned[0, 4] = 0, 0
    found = fast(base, tuned, np.array([4], np.int32))
    np.testing.assert_allclose(found.js, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(found.total_variation, 1, rtol=1e-6)
    np.testing.assert_allclose(found.kl_tuned_base, 200, rtol=1e-6)


def test_bfloat16_logits_are_measured_in_float32():
    base, tuned, emitted = (jnp.asarray(x) for x in draw(0.3, 1000))
    base, tuned = base.astype(jnp.bfloat16), tuned.astype(jnp.bfloat16)
    found = fast(base, tuned, emitted)
    assert found.js.dtype == jnp.float32
    assert_same(found, by_loops(np.asarray(base, np.float32), np.asarray(tuned, np.float32), np.asarray(emitted)))
