import math

import jax
import numpy as np
import optax
import pytest
import torch
import transformers

from jaxshift.config import Run
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.tune.optimizer import chain, learning_rates


def closed_form(step, steps, peak, warmup, final):
    """Learning rate of a 0-based step: a line that reaches the peak after the warm-up, then half a cosine."""
    if step < warmup:
        return peak / (warmup + 1) + (peak - peak / (warmup + 1)) * step / warmup
    turn = math.pi * (step - warmup) / (steps - warmup)
    return peak * (final + (1 - final) * (1 + math.cos(turn)) / 2)


@pytest.mark.parametrize(('warmup', 'final'), [(0.0, 0.0), (0.1, 0.0), (0.25, 0.02)])
def test_rates_are_those_of_the_closed_form(warmup, final):
    run = Run(learning_rate=3e-4, warmup=warmup, final_fraction=final)
    expected = [closed_form(step, 40, 3e-4, round(40 * warmup), final) for step in range(40)]
    np.testing.assert_allclose(learning_rates(run, 40), expected, rtol=1e-5, atol=1e-10)


def transformers_rates(name, warmup, steps):
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-4)
    scheduler = transformers.get_scheduler(name, sgd, warmup, steps)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        sgd.step()
        scheduler.step()
    return rates


PAIRS = [('cosine', 'cosine'), ('linear', 'linear'), ('constant', 'constant_with_warmup')]


@pytest.mark.parametrize('warmup', [0, 1, 7])
@pytest.mark.parametrize(('ours', 'theirs'), PAIRS)
def test_rates_are_those_of_transformers_whose_first_step_learns_nothing(ours, theirs, warmup):
    run = Run(learning_rate=3e-4, warmup=warmup / 40, schedule=ours)
    expected = transformers_rates(theirs, warmup + 1, 41)
    assert expected[0] == 0
    np.testing.assert_allclose(learning_rates(run, 40), expected[1:], rtol=1e-5, atol=1e-10)
    if not warmup:
        np.testing.assert_allclose(learning_rates(run, 40), transformers_rates(theirs, 0, 40), rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize(('schedule', 'end'), [('cosine', 0.1), ('linear', 0.1), ('constant', 1.0)])
def test_the_schedule_ends_near_its_final_fraction(schedule, end):
    run = Run(learning_rate=1e-3, schedule=schedule, final_fraction=0.1)
    np.testing.assert_allclose(learning_rates(run, 10_000)[-1], 1e-3 * end, rtol=1e-3)


@pytest.mark.parametrize('warmup', [0.0, 0.3])
def test_every_step_of_a_short_run_learns(warmup):
    for steps in (1, 2, 3):
        rates = learning_rates(Run(learning_rate=1e-3, warmup=warmup), steps)
        assert rates.shape == (steps,)
        assert (rates > 0).all()
        assert rates.max() <= 1e-3 * (1 + 1e-6)


def test_the_peak_is_reached():
    assert learning_rates(Run(learning_rate=2e-4, warmup=0.05), 100).max() == np.float32(2e-4)


SHAPES = {
    'embed_tokens': (200, 130),
    'layers': {'q_proj': (3, 128, 160), 'down_proj': (3, 160, 128), 'k_proj': (3, 128, 8), 'input_layernorm': (3, 160)},
    'norm': (160,),
}


def normal(draw, scale):
    return jax.tree.map(
        lambda s: draw.normal(0, scale, s).astype(np.float32), SHAPES, is_leaf=lambda x: type(x) is tuple
    )


def test_adafactor_is_that_of_transformers_for_every_layer_by_itself():
    draw, rate = np.random.default_rng(0), 1e-2
    params = normal(draw, 1.0)
    # A matrix with a side below 128 has no factors in optax; transformers would factor it.
    single = {**params['layers'], **{name: params[name][None] for name in ('embed_tokens', 'norm')}}
    del single['k_proj']
    twins = {name: [torch.tensor(x) for x in leaf] for name, leaf in single.items()}
    decays = [(0.1, 'proj|embed'), (0.0, 'norm')]
    groups = [
        {
            'params': [x for name in twins if ('norm' in name) == (decay == 0) for x in twins[name]],
            'weight_decay': decay,
        }
        for decay, _ in decays
    ]
    theirs = transformers.Adafactor(groups, lr=rate, scale_parameter=False, relative_step=False, warmup_init=False)
    ours = chain('adafactor', 0.9, 0.99, 0.1, decay_norms=False, clip=1e9)
    state, update = ours.init(params), jax.jit(ours.update)
    for step in range(5):
        # Gradients of every size, so that the clipping of single layers matters.
        gradients = normal(draw, 10.0 ** (step % 3 - 1))
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, optax.tree.scale(-rate, updates))
        for name, twin in twins.items():
            whole = gradients['layers'].get(name)
            for x, gradient in zip(twin, gradients[name][None] if whole is None else whole, strict=True):
                x.grad = torch.tensor(gradient)
        theirs.step()
    for name, twin in twins.items():
        found = params['layers'].get(name)
        found = params[name][None] if found is None else found
        np.testing.assert_allclose(found, np.stack(twin), rtol=1e-4, atol=1e-5, err_msg=name)


def test_adafactor_keeps_two_vectors_for_a_matrix():
    state = jax.eval_shape(
        chain('adafactor', 0.9, 0.99, 0.1, False, 1.0).init,
        jax.tree.map(np.asarray, normal(np.random.default_rng(0), 1.0)),
    )
    factors = state[1][0]
    assert factors.v_row['layers']['q_proj'].shape == (3, 128)
    assert factors.v_col['layers']['q_proj'].shape == (3, 160)
    assert factors.v['layers']['q_proj'].shape == (3, 1)
    assert factors.v['layers']['k_proj'].shape == (3, 128, 8)
    assert factors.v['norm'].shape == (160,)


@pytest.mark.parametrize('decay_norms', [False, True])
def test_norms_and_biases_are_decayed_only_when_asked(decay_norms):
    config = LlamaConfig(56, 32, 48, 2, 4, 2, 8, 64, 1e-5, 1e4, attention_bias=True, mlp_bias=True)
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), model.shapes(config))
    rule = chain('adamw', 0.9, 0.99, 0.1, decay_norms, 1.0)
    updates, _ = rule.update(jax.tree.map(np.zeros_like, params), rule.init(params), params)
    undecayed = {'norm', 'input_layernorm', 'post_attention_layernorm'}
    undecayed |= {f'{name}_proj_bias' for name in ('q', 'k', 'v', 'o', 'gate', 'up', 'down')}
    for name, leaf in {**updates.pop('layers'), **updates}.items():
        np.testing.assert_allclose(leaf, 0.1 if decay_norms or name not in undecayed else 0.0, err_msg=name)
