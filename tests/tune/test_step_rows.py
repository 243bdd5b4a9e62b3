"""What the loss makes of rows: packed or padded, with dropout and noise."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from twins import FULL, KEY, LORA, NOISY, started, steps_of

from jaxshift.data import batches
from jaxshift.llama import attention
from jaxshift.tune import noise
from jaxshift.tune.step import assemble, loss, recipe, train_step


@pytest.mark.parametrize('run', [FULL, LORA], ids=['full', 'lora'])
def test_packed_and_padded_batches_have_the_same_loss(run, small, rows):
    config, base, _ = small
    trainable, frozen = started(run, base)
    data = rows([20, 9, 14, 30, 17, 6, 25, 11])
    sums, tokens = [], []
    for pack, size in ((True, 4), (False, 8)):
        shape = recipe(dataclasses.replace(run, pack=pack), config, 'float32')
        value = jax.jit(functools.partial(loss, shape))
        plan = batches.Schedule(data.lengths, 0, 1, size, 48, pack)
        parts = [batches.batch(data, plan, step) for step in range(plan.steps)]
        sums.append(sum(float(value(trainable, frozen, part)) for part in parts))
        tokens.append(sum(part['trained'].sum() for part in parts))
        assert pack == any((part['segments'] > 1).any() for part in parts)
    assert tokens[0] == tokens[1]
    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-5)


@pytest.mark.parametrize('packed', [False, True])
def test_attention_need_not_tell_examples_apart_where_a_row_has_one(small, data, monkeypatch, packed):
    config, base, _ = small
    told = []
    real = attention.causal
    monkeypatch.setattr(
        attention, 'causal', lambda q, k, v, segments, window: told.append(segments) or real(q, k, v, segments, window)
    )
    shape = recipe(dataclasses.replace(FULL, pack=packed), config, 'float32')
    batch = steps_of(FULL, data)[0]
    assert (batch['segments'] == 0).any()
    value, gradient = jax.value_and_grad(functools.partial(loss, shape))(base, None, batch)
    assert (told[0] is not None) == packed
    kept_apart = jax.value_and_grad(functools.partial(loss, dataclasses.replace(shape, packed=True)))(base, None, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), (value, gradient), kept_apart)


def test_dropout_is_for_training_alone(small, data):
    config, base, _ = small
    run = dataclasses.replace(LORA, dropout=0.5)
    shape = recipe(run, config, 'float32')
    adapter, _ = started(run, base)
    batch = steps_of(run, data)[0]
    value = jax.jit(loss, static_argnums=0)
    plain = value(recipe(LORA, config, 'float32'), adapter, base, batch)
    keys = [jax.random.split(jax.random.key(seed), run.batch_size) for seed in (0, 1)]
    dropped = [float(value(shape, adapter, base, batch, each)) for each in keys]
    assert len({float(plain), *dropped}) == 3
    params = assemble(shape, adapter, base)
    assert all(params['layers'][name].key is None for name in run.targets)
    np.testing.assert_array_equal(value(shape, adapter, base, batch), plain)


def test_noise_is_added_to_the_embeddings_and_only_with_keys(small, data):
    config, base, torch_model = small
    batch, keys = steps_of(NOISY, data)[0], jax.random.split(KEY, NOISY.batch_size)
    value = jax.jit(loss, static_argnums=0)
    noisy, quiet = recipe(NOISY, config, 'float32'), recipe(FULL, config, 'float32')
    added = noise.neftune(keys, batch['segments'], NOISY.neftune_alpha, config.hidden_size)
    with torch.no_grad():
        embedded = torch_model.get_input_embeddings()(torch.tensor(batch['tokens']).long()) + torch.tensor(
            np.array(added)
        )
        logits = torch_model(inputs_embeds=embedded).logits[:, :-1][torch.tensor(batch['trained'])[:, 1:]]
        targets = torch.tensor(batch['tokens']).long()[:, 1:][torch.tensor(batch['trained'])[:, 1:]]
        expected = torch.nn.functional.cross_entropy(logits, targets, reduction='sum').item()
    np.testing.assert_allclose(value(noisy, base, None, batch, keys), expected, rtol=1e-4)
    plain = value(quiet, base, None, batch)
    assert abs(expected / float(plain) - 1) > 1e-3
    np.testing.assert_array_equal(value(noisy, base, None, batch), plain)


def test_noise_is_that_of_the_steps_key(small, data):
    config, base, _ = small
    batch, shape = steps_of(NOISY, data)[0], recipe(NOISY, config, 'float32')
    losses = []
    for key in (KEY, jax.random.key(1), KEY):
        trainable = jax.tree.map(jnp.copy, base)
        state = shape.optimizer.init(trainable)
        _, _, metrics = train_step(shape)(trainable, state, None, batch, np.float32(0), key)
        losses.append(float(metrics['loss']))
    assert losses[0] == losses[2] != losses[1]
