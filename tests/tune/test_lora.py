import copy

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch

from jaxshift.checks import LINEAR_TARGETS
from jaxshift.llama.linear import LoRA, LoraSpec, dot
from jaxshift.tune import lora

SPEC = LoraSpec(('q_proj', 'down_proj'), rank=4, alpha=10.0)


def trained(base, spec=SPEC):
    """An adapter whose b is not zero any more."""
    shapes = jax.eval_shape(lambda: lora.init(jax.random.key(0), base, spec))
    draw = np.random.default_rng(1)
    return jax.tree.map(lambda x: jnp.asarray(draw.normal(0, 0.1, x.shape), jnp.float32), shapes)


def test_an_adapter_starts_as_pefts_does(small):
    _, base, torch_model = small
    spec = LoraSpec(LINEAR_TARGETS, rank=4, alpha=8.0)
    ours = lora.init(jax.random.key(0), base, spec)['layers']
    settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=list(LINEAR_TARGETS))
    theirs = peft.get_peft_model(copy.deepcopy(torch_model), settings).state_dict()
    for name in LINEAR_TARGETS:
        a, b = ours[name]['a'], ours[name]['b']
        assert a.dtype == b.dtype == jnp.float32
        np.testing.assert_array_equal(b, 0)
        parts = [value for key, value in theirs.items() if f'{name}.lora_A' in key]
        like = torch.stack(parts).numpy().swapaxes(1, 2)
        assert a.shape == like.shape
        bound = a.shape[1] ** -0.5
        assert 0.98 * bound < abs(like).max() <= bound  # what their Kaiming initialisation comes to
        assert 0.98 * bound < abs(a).max() <= bound
        np.testing.assert_allclose(a.std(), like.std(), rtol=0.1)


def test_projections_and_layers_start_with_numbers_of_their_own(small):
    drawn = lora.init(jax.random.key(0), small[1], LoraSpec(('q_proj', 'k_proj'), 4, 8.0))['layers']
    parts = [part for name in drawn for part in np.asarray(drawn[name]['a'])]
    assert len({part.tobytes() for part in parts}) == 6
    again = lora.init(jax.random.key(1), small[1], LoraSpec(('q_proj', 'k_proj'), 4, 8.0))['layers']
    assert abs(again['q_proj']['a'] - drawn['q_proj']['a']).max() > 0.1


@pytest.mark.parametrize(('rslora', 'scale'), [(False, 10 / 4), (True, 10 / 2)])
def test_folding_adds_the_scaled_product(small, rslora, scale):
    _, base, _ = small
    spec = LoraSpec(SPEC.targets, SPEC.rank, SPEC.alpha, rslora)
    adapter = trained(base, spec)
    folded = lora.fold(lora.merge(base, adapter, spec))
    for name, weight in base['layers'].items():
        change = np.float64(folded['layers'][name]) - np.float64(weight)
        if name not in spec.targets:
            np.testing.assert_array_equal(change, 0)
            continue
        term = adapter['layers'][name]
        expected = scale * np.einsum('lir,lro->lio', np.float64(term['a']), np.float64(term['b']))
        np.testing.assert_allclose(change, expected, atol=1e-6)


def test_a_folded_weight_keeps_its_dtype_and_is_summed_in_float32(small):
    base = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), small[1])
    adapter = trained(base)
    folded = lora.fold(lora.merge(base, adapter, SPEC))['layers']['q_proj']
    term = adapter['layers']['q_proj']
    exact = np.float32(base['layers']['q_proj']) + 2.5 * np.einsum('lir,lro->lio', term['a'], term['b'])
    assert folded.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(folded), exact, rtol=2**-8, atol=1e-6)


def leaf(**changes):
    draw = np.random.default_rng(0)
    arrays = {'w': draw.normal(size=(16, 8)), 'a': draw.normal(size=(16, 4)), 'b': draw.normal(size=(4, 8))}
    return LoRA(**{name: jnp.asarray(x, jnp.float32) for name, x in arrays.items()} | {'scale': 0.5} | changes)


def test_a_lazy_weight_acts_as_the_sum_it_stands_for():
    weight, x = leaf(), np.random.default_rng(1).normal(size=(3, 5, 16)).astype(np.float32)
    exact = np.float64(x) @ (np.float64(weight.w) + 0.5 * np.float64(weight.a) @ np.float64(weight.b))
    np.testing.assert_allclose(dot(jnp.asarray(x), weight), exact, atol=1e-4)


def test_the_first_of_a_pair_sees_the_base_alone():
    weight = leaf()
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 16)), jnp.float32)
    found = dot(x, leaf(paired=True))
    np.testing.assert_allclose(found[0], x[0] @ weight.w, atol=1e-6)
    np.testing.assert_allclose(found[1], dot(x[1], weight), atol=1e-6)


def test_dropout_drops_at_its_rate_keeps_the_mean_and_leaves_the_base_alone():
    x = jnp.ones((4000, 16))
    # With a = 1 / 16 and b = 1 the low-rank term is the mean of the inputs that are left.
    weight = leaf(w=jnp.zeros((16, 1)), a=jnp.full((16, 1), 1 / 16), b=jnp.ones((1, 1)), scale=1.0)
    weight.key, weight.dropout = jax.random.key(0), 0.25
    term = np.asarray(dot(x, weight))[:, 0]
    kept = term * 16 * 0.75
    np.testing.assert_allclose(kept, kept.round(), atol=1e-4)
    assert abs(kept.mean() / 16 - 0.75) < 0.01
    np.testing.assert_allclose(term.std(), np.sqrt(0.25 / 0.75 / 16), rtol=0.05)
    weight.w = jnp.full((16, 1), 3.0)
    np.testing.assert_allclose(dot(x, weight)[:, 0] - term, 48, atol=1e-4)


def test_dropout_is_drawn_for_every_layer_and_projection_and_only_with_a_key(small):
    spec = LoraSpec(('q_proj', 'k_proj'), 4, 8.0, dropout=0.3)
    adapter = trained(small[1], spec)
    layers = lora.merge(small[1], adapter, spec, jax.random.key(0))['layers']
    keys = {bytes(jax.random.key_data(key)) for name in spec.targets for key in layers[name].key}
    assert len(keys) == 6
    assert lora.merge(small[1], adapter, spec)['layers']['q_proj'].key is None
    none = LoraSpec(spec.targets, 4, 8.0)
    assert lora.merge(small[1], adapter, none, jax.random.key(0))['layers']['q_proj'].key is None


def test_the_scale_is_not_trained(small):
    _, base, _ = small
    adapter = trained(base)

    def score(weight, adapter):
        term = lora.merge(base | {'layers': base['layers'] | {'q_proj': weight}}, adapter, SPEC)['layers']['q_proj']
        return (term.scale * 7).sum()

    gradient = jax.grad(score, (0, 1))(base['layers']['q_proj'], adapter)
    assert set(adapter['layers']['q_proj']) == {'a', 'b'}
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradient))
