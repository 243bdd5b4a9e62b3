"""Models between base and tuned, against NumPy on the whole change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxshift.causes import interpolation
from jaxshift.llama import quantised
from jaxshift.llama.linear import Changed, LoraSpec, dot
from jaxshift.tune import lora

RNG = np.random.default_rng(0)


def tree(scale=1.0):
    values = {'q_proj': (3, 8, 6), 'norm_weight': (3, 8)}
    layers = {name: jnp.asarray(scale * RNG.normal(size=shape), jnp.float32) for name, shape in values.items()}
    return {'layers': layers, 'embed_tokens': jnp.asarray(scale * RNG.normal(size=(20, 8)), jnp.float32)}


def flat(params):
    leaves = jax.tree.leaves(params, is_leaf=lambda leaf: isinstance(leaf, Changed))
    return np.concatenate([
        np.ravel(numbers(leaf.w) + numbers(leaf.change) if isinstance(leaf, Changed) else numbers(leaf))
        for leaf in leaves
    ])  # fmt: skip


def numbers(leaf):
    return np.asarray(leaf.astype(jnp.float32), np.float64)


@pytest.fixture
def full():
    """Base and tuned, all of it changed."""
    base = tree()
    return base, jax.tree.map(jnp.add, base, tree(0.1))


@pytest.fixture
def adapted():
    """A base and the same beside an adapter of q_proj."""
    base, spec = tree(), LoraSpec(('q_proj',), 2, 4.0)
    made = lora.init(jax.random.key(0), base, spec)
    made = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(1), leaf.shape), made)
    return base, lora.merge(base, made, spec)


@pytest.mark.parametrize('factor', [0.0, 0.3, 1.0, 1.7])
def test_a_change_is_scaled(full, factor):
    base, tuned = map(flat, full)
    found = interpolation.scaled(*full, factor, 'float32')
    np.testing.assert_allclose(flat(found), base + factor * (tuned - base), rtol=1e-5, atol=1e-6)


def test_at_0_and_1_stand_base_and_tuned_themselves(full):
    for factor, wanted in zip((0.0, 1.0), full, strict=True):
        np.testing.assert_array_equal(flat(interpolation.scaled(*full, factor, 'float32')), flat(wanted))


def test_an_adapter_is_scaled_without_being_folded(adapted):
    base, tuned = adapted
    found = interpolation.scaled(base, tuned, 0.5, 'float32')
    middle = (flat(base) + flat(lora.fold(tuned))) / 2
    np.testing.assert_allclose(flat(lora.fold(found)), middle, rtol=1e-5, atol=1e-6)
    assert found['embed_tokens'] is base['embed_tokens']


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9])
@pytest.mark.parametrize('order', ['most', 'least'])
@pytest.mark.parametrize('kind', ['full', 'adapted'])
def test_the_share_that_changed_most_or_least_is_put_back(kind, order, share, request):
    base, tuned = request.getfixturevalue(kind)
    found, put_back = interpolation.restored(base, tuned, order, share, 0, 'float32')
    before, after, got = flat(base), flat(lora.fold(tuned)), flat(found)
    places = np.flatnonzero(after != before)
    ranked = places[np.argsort(abs(after - before)[places])]
    count = round(share * len(places))
    expected = after.copy()
    chosen = ranked[len(ranked) - count :] if order == 'most' else ranked[:count]
    expected[chosen] = before[chosen]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert put_back == pytest.approx(share, abs=1 / len(places))


def test_at_random_a_share_is_put_back_and_the_same_one_for_one_seed(full):
    base, tuned = map(flat, full)
    one, two, other = (flat(interpolation.restored(*full, 'random', 0.4, seed, 'float32')[0]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert (np.isclose(one, base, atol=1e-7) | np.isclose(one, tuned, atol=1e-6)).all()
    assert np.isclose(one, base, atol=1e-7).mean() == pytest.approx(0.4, abs=0.08)
    near = abs(tuned - base)
    assert near[np.isclose(one, base, atol=1e-7)].mean() == pytest.approx(near.mean(), rel=0.15)  # not the greatest


def test_entries_that_changed_equally_go_together_and_the_share_says_so():
    base = {'layers': {}, 'embed_tokens': jnp.zeros((10, 10))}
    tuned = {'layers': {}, 'embed_tokens': jnp.asarray(np.repeat([0.0, 0.0, 0.0, 1.0, 2.0], 20).reshape(10, 10))}
    found, put_back = interpolation.restored(base, tuned, 'least', 0.1, 0, 'float32')
    assert put_back == pytest.approx(0.6)  # all that did not change
    np.testing.assert_array_equal(found['embed_tokens'], tuned['embed_tokens'])
    found, put_back = interpolation.restored(base, tuned, 'most', 0.3, 0, 'float32')
    assert put_back == pytest.approx(0.2)  # another one would put back twice as many
    np.testing.assert_array_equal(np.unique(found['embed_tokens']), [0, 1])


def test_an_adapter_over_a_quantised_base_is_restored_beside_it(adapted):
    base, tuned = adapted
    small = base | {'layers': quantised.quantise(base, 'int8')['layers']}
    merged = tuned | {'layers': tuned['layers'] | {'q_proj': tuned['layers']['q_proj']}}
    merged['layers']['q_proj'].w = small['layers']['q_proj']
    found, _ = interpolation.restored(small, merged, 'most', 0.9999, 0, 'float32')
    assert found['layers']['q_proj'].w is small['layers']['q_proj']
    np.testing.assert_allclose(found['layers']['q_proj'].change, 0, atol=1e-6)


@pytest.mark.parametrize('order', interpolation.ORDERS)
def test_in_bfloat16_the_change_that_is_left_is_not_rounded_off(order):
    """A change a thousandth of the weights: summed, most of it would round back to the base."""
    base = {'layers': {'q_proj': jnp.asarray(0.05 * RNG.normal(size=(1, 64, 64)), jnp.bfloat16)}}
    spec = LoraSpec(('q_proj',), 2, 2.0)
    terms = {name: jnp.asarray(RNG.normal(size=shape), jnp.float32) for name, shape in
             {'a': (1, 64, 2), 'b': (1, 2, 64)}.items()}  # fmt: skip
    tuned = lora.merge(base, {'layers': {'q_proj': terms | {'b': 4e-5 * terms['b']}}}, spec)
    leaf = interpolation.restored(base, tuned, order, 0.5, 0, 'bfloat16')[0]['layers']['q_proj']
    whole = np.asarray(terms['a'], np.float64) @ (4e-5 * np.asarray(terms['b'], np.float64))
    ranked = np.argsort(abs(whole).ravel())
    kept = {'most': ranked[:2048], 'least': ranked[2048:], 'random': np.flatnonzero(numbers(leaf.change))}[order]
    wanted = np.zeros(whole.size)
    wanted[kept] = whole.ravel()[kept]
    x = np.sign(RNG.normal(size=(32, 64)))
    layer = jax.tree.map(lambda part: part[0], leaf)
    moved = numbers(dot(jnp.asarray(x, jnp.float32), layer)) - numbers(dot(jnp.asarray(x, jnp.float32), layer.w))
    error = np.linalg.norm(moved - x @ wanted.reshape(64, 64)) / np.linalg.norm(x @ wanted.reshape(64, 64))
    assert error < 0.01
    summed = (layer.w + layer.change).astype(jnp.float32) - layer.w.astype(jnp.float32)
    assert np.linalg.norm(numbers(summed).ravel() - wanted) > 0.2 * np.linalg.norm(wanted)  # what was avoided
