import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxshift.tune import loss as module
from jaxshift.tune.loss import cross_entropy

WIDTH, VOCABULARY = 12, 37


def draw(rows=3, length=29, share=0.4):
    random = np.random.default_rng(0)
    hidden = random.normal(size=(rows, length, WIDTH)).astype(np.float32)
    head = random.normal(size=(WIDTH, VOCABULARY)).astype(np.float32)
    tokens = random.integers(0, VOCABULARY, (rows, length)).astype(np.int32)
    trained = random.random((rows, length)) < share
    trained[:, 0] = False
    return hidden, head, tokens, trained


def by_loops(hidden, head, tokens, trained):
    """Loss and its gradients by hidden states and head, in float64, one target at a time."""
    hidden, head = hidden.astype(np.float64), head.astype(np.float64)
    total, d_hidden, d_head = 0.0, np.zeros_like(hidden), np.zeros_like(head)
    for row, t in np.argwhere(trained):
        x = hidden[row, t - 1]
        logits = x @ head
        p = np.exp(logits - logits.max())
        p /= p.sum()
        total -= np.log(p[tokens[row, t]])
        p[tokens[row, t]] -= 1
        d_hidden[row, t - 1] += head @ p
        d_head += np.outer(x, p)
    return total, d_hidden, d_head


@pytest.mark.parametrize('chunk', [1, 12, 30, 512], ids=lambda chunk: f'chunks of {chunk}')
def test_value_and_gradients_are_those_of_a_float64_loop(monkeypatch, chunk):
    monkeypatch.setattr(module, 'CHUNK', chunk)
    hidden, head, tokens, trained = draw()
    total, gradient = jax.jit(jax.value_and_grad(cross_entropy, (0, 1)))(hidden, head, tokens, trained)
    expected, *by_hand = by_loops(hidden, head, tokens, trained)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    for ours, theirs in zip(gradient, by_hand, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-4)


def test_either_gradient_can_be_asked_for_alone():
    hidden, head, tokens, trained = draw()
    both = jax.grad(cross_entropy, (0, 1))(hidden, head, tokens, trained)
    for which in (0, 1):
        alone = jax.grad(cross_entropy, which)(hidden, head, tokens, trained)
        np.testing.assert_array_equal(alone, both[which])


def test_a_frozen_head_costs_no_gradient_of_its_size():
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in draw()]
    flops = [
        jax.jit(jax.grad(cross_entropy, which)).lower(*shapes).compile().cost_analysis()['flops']
        for which in (0, (0, 1))
    ]
    assert flops[0] < 0.8 * flops[1]


def test_masked_positions_neither_count_nor_get_a_gradient(monkeypatch):
    monkeypatch.setattr(module, 'CHUNK', 12)
    hidden, head, tokens, trained = draw(share=0.1)
    spoiled = hidden.copy()
    before = np.roll(trained, -1, axis=1)
    spoiled[~before] = np.nan  # states that predict nothing that is trained
    total, d_hidden = jax.jit(jax.value_and_grad(cross_entropy))(spoiled, head, tokens, trained)
    np.testing.assert_allclose(total, by_loops(hidden, head, tokens, trained)[0], rtol=1e-5)
    np.testing.assert_array_equal(d_hidden[~before], 0)


def test_a_batch_without_a_trained_token_has_no_loss():
    hidden, head, tokens, trained = draw(share=0)
    total, gradient = jax.value_and_grad(cross_entropy)(hidden, head, tokens, trained)
    assert total == 0
    np.testing.assert_array_equal(gradient, 0)


def test_logits_of_all_positions_never_exist_together():
    shapes = [
        jax.ShapeDtypeStruct(shape, dtype)
        for shape, dtype in (((2, 4096, 64), jnp.float32), ((64, 32_000), jnp.float32))
    ] + [jax.ShapeDtypeStruct((2, 4096), dtype) for dtype in (jnp.int32, bool)]
    compiled = jax.jit(jax.grad(functools.partial(cross_entropy), (0, 1))).lower(*shapes).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2 * 4096 * 32_000 * 4 / 4
