"""Spectra and intruder dimensions, against NumPy's SVD in float64 and what was planted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxshift.causes import weights
from jaxshift.llama.linear import LoRA, LoraSpec
from jaxshift.llama.quantised import leaf as quantise
from jaxshift.tune import lora

RNG = np.random.default_rng(0)


def matrix(inputs=48, outputs=32, scale=1.0):
    return (scale * RNG.normal(size=(inputs, outputs)) / inputs**0.5).astype(np.float32)


def adapter(inputs=48, outputs=32, rank=8, scale=0.5):
    """A LoRA leaf of one layer, and the weight that it stands for in float64."""
    w, a, b = matrix(inputs, outputs), matrix(inputs, rank), matrix(rank, outputs)
    leaf = LoRA(jnp.asarray(w), jnp.asarray(a), jnp.asarray(b), jnp.float32(scale))
    return leaf, w + scale * (a.astype(np.float64) @ b)


def reference_cosines(base, tuned):
    """By the definition: left singular vectors of the files' W [out, in], each against all of the base's."""
    own, found = (np.linalg.svd(np.asarray(w, np.float64).T, full_matrices=False)[0] for w in (base, tuned))
    return np.array([max(abs(found[:, i] @ own[:, j]) for j in range(own.shape[1])) for i in range(found.shape[1])])


def test_the_spectrum_of_low_rank_factors_is_that_of_their_product():
    leaf, tuned = adapter()
    values = np.linalg.svd(tuned - np.asarray(leaf.w, np.float64), compute_uv=False)
    np.testing.assert_allclose(weights.low_rank_spectrum(leaf), values[:8], rtol=1e-5)
    assert (values[8:] < 1e-12).all()


@pytest.mark.parametrize('rank', [3, 40])
def test_so_it_is_where_a_factor_is_wider_than_the_weight(rank):
    leaf, tuned = adapter(rank=rank)
    values = np.linalg.svd(tuned - np.asarray(leaf.w, np.float64), compute_uv=False)
    found = weights.low_rank_spectrum(leaf)
    np.testing.assert_allclose(found, values[: len(found)], rtol=1e-5)


def test_the_spectrum_of_a_change_is_that_of_its_svd():
    base, tuned = matrix(), matrix()
    values = np.linalg.svd(tuned.astype(np.float64) - base, compute_uv=False)
    np.testing.assert_allclose(weights.spectrum(base, tuned), values, rtol=1e-5)


@pytest.mark.parametrize(('values', 'rank'), [((3, 1, 0), 1), ((3, 1.1, 0), 2), ((1,) * 10, 9), ((0, 0), 0)])
def test_effective_rank_counts_directions_up_to_nine_tenths(values, rank):
    assert weights.effective_rank(np.array(values)) == rank


def test_effective_and_stable_rank_are_those_of_a_loop():
    values = np.linalg.svd(matrix(), compute_uv=False).astype(np.float64)
    total, so_far, rank = sum(values**2), 0.0, 0
    while so_far < 0.9 * total:
        so_far += values[rank] ** 2
        rank += 1
    assert weights.effective_rank(values) == rank
    assert weights.stable_rank(values) == pytest.approx(np.linalg.norm(values) ** 2 / values[0] ** 2)
    assert weights.shares(values)[:3] == pytest.approx([sum(values[:n] ** 2) / total for n in (1, 2, 4)])
    assert weights.stable_rank(np.zeros(3)) == 0


def test_a_folded_adapter_of_rank_8_has_effective_rank_8_at_most_on_every_module():
    base = {'layers': {name: jnp.stack([matrix(64, 48), matrix(64, 48)]) for name in ('q_proj', 'v_proj')}}
    spec = LoraSpec(('q_proj', 'v_proj'), 8, 16.0)
    made = lora.init(jax.random.key(0), base, spec)
    made = jax.tree.map(lambda leaf: leaf + 0.01 * jax.random.normal(jax.random.key(1), leaf.shape), made)
    merged = lora.merge(base, made, spec)
    folded = lora.fold(merged)
    for name, stack in folded['layers'].items():
        for layer, tuned in enumerate(stack):
            values = np.asarray(weights.spectrum(base['layers'][name][layer], tuned))
            lazy = weights.low_rank_spectrum(jax.tree.map(lambda x, layer=layer: x[layer], merged['layers'][name]))
            assert 0 < weights.effective_rank(values) <= 8
            assert weights.effective_rank(values) == weights.effective_rank(np.asarray(lazy))
            np.testing.assert_allclose(values[:8], lazy, rtol=1e-3)


@pytest.mark.parametrize(('inputs', 'outputs'), [(48, 32), (32, 48)])
@pytest.mark.parametrize('change', [0.02, 0.3, 1.0])
def test_intruder_counts_are_those_of_the_definition(inputs, outputs, change):
    base = matrix(inputs, outputs)
    tuned = base + matrix(inputs, outputs, change)
    found, wanted = np.asarray(weights.cosines(base, tuned)), reference_cosines(base, tuned)
    for k in (1, 10, len(wanted)):
        assert (found[:k] < 0.5).sum() == (wanted[:k] < 0.5).sum()
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_a_planted_direction_is_an_intruder_and_a_strengthened_one_is_not():
    base = matrix(64, 64)
    left, values, right = np.linalg.svd(base.astype(np.float64))
    new = np.outer(left.mean(1), right.mean(0)) * 64**0.5  # as near to every direction of the base as to any other
    for change, intruders in ((5 * values[0] * new, 1), (5 * values[0] * np.outer(left[:, 9], right[9]), 0)):
        found = np.asarray(weights.cosines(base, (base + change).astype(np.float32)))
        assert (found[:1] < 0.5).sum() == intruders
    np.testing.assert_allclose(weights.cosines(base, 2 * base), 1, atol=1e-3)


def test_a_lazy_leaf_has_the_intruders_of_its_folded_weight_over_a_quantised_base_too():
    leaf, tuned = adapter(scale=4.0)
    np.testing.assert_allclose(weights.cosines(leaf.w, leaf), reference_cosines(leaf.w, tuned), atol=1e-3)
    small = quantise(leaf.w, 'int8')
    over = LoRA(small, leaf.a, leaf.b, leaf.scale)
    w = np.asarray(small.astype(jnp.float32))
    tuned = w + 4.0 * np.asarray(leaf.a, np.float64) @ np.asarray(leaf.b)
    np.testing.assert_allclose(weights.cosines(small, over), reference_cosines(w, tuned), atol=1e-3)
