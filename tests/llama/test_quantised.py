from functools import partial
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxshift.errors import InputError
from jaxshift.llama import model, quantised
from jaxshift.llama.linear import LoraSpec
from jaxshift.shift.sweep import Pair, compare
from jaxshift.tune import lora

KINDS = [('int8', False), ('nf4', False), ('nf4', True)]
SPEC = LoraSpec(('q_proj', 'down_proj'), rank=4, alpha=10.0)


def weight(*shape):
    return np.random.default_rng(0).normal(0, 0.02, shape).astype(np.float32)


def nf4(channel):
    """(codes, values) of one output channel, block by block and number by number."""
    codes, values = [], []
    for start in range(0, len(channel), 64):
        block = np.float64(channel[start : start + 64])
        scale = max(abs(block)) or 1.0
        for number in block:
            codes.append(min(range(16), key=lambda code: abs(quantised.LEVELS[code] - number / scale)))
            values.append(quantised.LEVELS[codes[-1]] * scale)
    return codes, values


def test_the_levels_are_quantiles_of_a_normal_distribution():
    # Dettmers et al. 2023, section 3: eight quantiles above zero, seven below, zero, and all divided by the greatest.
    quantile, edge = NormalDist().inv_cdf, 0.9677083
    above = [quantile(share) for share in np.linspace(edge, 0.5, 9)[:-1]]
    below = [-quantile(share) for share in np.linspace(edge, 0.5, 8)[:-1]]
    expected = np.array(sorted([*below, 0, *above])) / max(above)
    np.testing.assert_allclose(quantised.LEVELS, expected, atol=2e-7)


@pytest.mark.parametrize('inputs', [128, 100])
def test_nf4_is_the_nearest_level_of_each_block(inputs):
    w = weight(2, inputs, 6)
    found = quantised.leaf(jnp.asarray(w), 'nf4')
    assert found.codes.dtype == jnp.uint4
    assert found.codes.shape == w.shape
    assert found.scale.shape == (2, -(-inputs // 64), 6)
    values = found.astype(jnp.float32)
    for layer, channel in np.ndindex(2, 6):
        codes, exact = nf4(w[layer, :, channel])
        np.testing.assert_array_equal(found.codes[layer, :, channel].astype(int), codes)
        np.testing.assert_allclose(values[layer, :, channel], exact, rtol=1e-6)


def test_every_level_is_found_again():
    w = jnp.asarray(quantised.LEVELS)[None, :, None] * jnp.asarray([1.0, 3.0])
    found = quantised.leaf(w, 'nf4')
    np.testing.assert_array_equal(found.codes[0, :, 1].astype(int), np.arange(16))
    np.testing.assert_array_equal(found.astype(jnp.float32), w)


def test_int8_is_within_half_a_step_of_its_channel():
    w = weight(2, 100, 6)
    found = quantised.leaf(jnp.asarray(w), 'int8')
    assert found.codes.dtype == jnp.int8
    step = abs(w).max(axis=1, keepdims=True) / 127
    np.testing.assert_allclose(found.scale, step, rtol=1e-6)
    assert (abs(found.astype(jnp.float32) - w) <= 0.501 * step).all()
    assert (abs(found.codes).max(axis=1) == 127).all()


def test_double_quantisation_moves_a_scale_by_half_a_step_of_its_channel():
    w = jnp.asarray(weight(2, 640, 6))
    single, double = quantised.leaf(w, 'nf4'), quantised.leaf(w, 'nf4', double=True)
    np.testing.assert_array_equal(double.codes.astype(int), single.codes.astype(int))
    assert double.scale.deviation.codes.dtype == jnp.int8
    deviation = single.scale - single.scale.mean(axis=1, keepdims=True)
    step = abs(deviation).max(axis=1, keepdims=True) / 127
    assert (abs(double.scale.astype(jnp.float32) - single.scale) <= 0.501 * step + 1e-9).all()
    assert (double.scale.astype(jnp.float32) != single.scale).any()


@pytest.mark.parametrize(('kind', 'double'), KINDS)
def test_zeros_stay_zeros(kind, double):
    np.testing.assert_array_equal(quantised.leaf(jnp.zeros((1, 64, 2)), kind, double).astype(jnp.float32), 0)


@pytest.mark.parametrize(('kind', 'double'), KINDS)
def test_projections_alone_are_quantised_and_the_model_multiplies_them_out(small, kind, double):
    config, base, _ = small
    params = quantised.quantise(base, kind, double)
    assert quantised.shapes(model.shapes(config), kind, double) == jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params
    )
    plain = {name for name, w in params['layers'].items() if not quantised.is_leaf(w)}
    assert plain == {name for name in base['layers'] if not name.endswith('_proj')}
    assert all(params[name] is base[name] for name in base if name != 'layers')
    multiplied = jax.tree.map(lambda w: w.astype(jnp.float32), params, is_leaf=quantised.is_leaf)
    tokens = jnp.arange(24).reshape(2, 12) % config.vocab_size
    forward = jax.jit(partial(model.forward, config))
    found, exact = forward(params, tokens), forward(multiplied, tokens)
    np.testing.assert_allclose(found, exact, atol=1e-5)
    assert abs(found - forward(base, tokens)).max() > 1e-3


@pytest.mark.parametrize(('kind', 'double'), KINDS)
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_before_the_first_step_the_tuned_model_is_the_quantised_base(small, kind, double, dtype):
    config, base, _ = small
    base = quantised.quantise(base, kind, double)
    adapter = lora.init(jax.random.key(0), small[1], SPEC)
    tokens = jnp.arange(24).reshape(2, 12) % config.vocab_size
    forward = jax.jit(partial(model.forward, config, dtype=jnp.dtype(dtype)), static_argnames='paired')
    pair = forward(lora.merge(base, adapter, SPEC, paired=True), tokens, paired=True)
    np.testing.assert_array_equal(pair[0], pair[1])
    np.testing.assert_array_equal(forward(lora.merge(base, adapter, SPEC), tokens), forward(base, tokens))


@pytest.mark.parametrize(('kind', 'double'), KINDS)
def test_an_adapter_over_a_quantised_base_has_the_gradient_of_one_over_its_numbers(small, kind, double):
    config, base, _ = small
    base = quantised.quantise(base, kind, double)
    multiplied = jax.tree.map(lambda w: w.astype(jnp.float32), base, is_leaf=quantised.is_leaf)
    draw = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: lora.init(jax.random.key(0), small[1], SPEC))
    adapter = jax.tree.map(lambda x: jnp.asarray(draw.normal(0, 0.1, x.shape), jnp.float32), shapes)
    tokens = jnp.arange(24).reshape(2, 12) % config.vocab_size

    @jax.jit
    def gradient(adapter, base):
        def score(adapter):
            hidden = model.forward(config, lora.merge(base, adapter, SPEC), tokens, remat='nothing_saveable')
            return (hidden[..., 0] ** 2).sum()

        return jax.grad(score)(adapter)

    for found, exact in zip(
        *map(jax.tree.leaves, (gradient(adapter, base), gradient(adapter, multiplied))), strict=True
    ):
        np.testing.assert_allclose(found, exact, atol=1e-5 * abs(exact).max())


@pytest.mark.parametrize(('kind', 'double'), KINDS)
def test_the_paired_sweep_over_a_quantised_base_is_that_of_two_trees(small, kind, double):
    config, base, _ = small
    base = quantised.quantise(base, kind, double)
    multiplied = jax.tree.map(lambda w: w.astype(jnp.float32), base, is_leaf=quantised.is_leaf)
    fresh = lora.init(jax.random.key(0), small[1], SPEC)
    adapter = jax.tree.map(lambda x: x + 0.05, fresh)
    rows = {name: np.arange(24, dtype=np.int32).reshape(2, 12) for name in ('tokens', 'windows', 'emitted')}
    rows['windows'] = np.tile(np.arange(12, dtype=np.int32), (2, 1))

    def swept(params, paired):
        return compare(Pair(config, 'float32', paired), params, **rows, chunk=12, top_k=5)

    tuned = lora.fold(lora.merge(multiplied, adapter, SPEC))
    found, exact = swept(lora.merge(base, adapter, SPEC, paired=True), True), swept((multiplied, tuned), False)
    np.testing.assert_allclose(found.kl_tuned_base, exact.kl_tuned_base, rtol=1e-3, atol=1e-6)
    assert (found.kl_tuned_base > 1e-4).all()
    same = swept(lora.merge(base, fresh, SPEC, paired=True), True)
    np.testing.assert_array_equal(same.kl_tuned_base, 0)


def test_a_quantised_base_is_not_folded(small):
    base = quantised.quantise(small[1], 'nf4')
    adapter = lora.init(jax.random.key(0), small[1], SPEC)
    for params in (base, lora.merge(base, adapter, SPEC)):
        with pytest.raises(InputError, match='would pass for the original; export the adapter'):
            lora.fold(params)
