"""The train step against torch's and peft's."""

import copy
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from twins import FULL, KEY, LORA, NOISY, RANKS, groups, started, steps_of, torch_loss, torch_twin

from jaxshift.config import Run
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.tune.optimizer import learning_rates
from jaxshift.tune.step import loss, recipe, train_step
from jaxshift.weights.names import rows as name_rows


@pytest.mark.parametrize(
    'run',
    [FULL, dataclasses.replace(FULL, decay_norms=True), LORA, RANKS],
    ids=['full', 'full, norms decayed', 'lora', 'ranks'],
)
def test_ten_steps_follow_torchs_adamw(run, small, data, tmp_path):
    config, base, _ = small
    trainable, frozen = started(run, base)
    shape = recipe(run, config, 'float32')
    state = shape.optimizer.init(trainable)
    twin, parameters = torch_twin(run, small, tmp_path)
    adamw = torch.optim.AdamW(groups(parameters, run), betas=(run.b1, run.b2), eps=1e-8)
    parameters = list(parameters.values())
    trainable = jax.tree.map(jnp.copy, trainable)  # the step takes its arguments' memory
    rates = learning_rates(run, 10)
    every = steps_of(run, data)
    with torch.no_grad():
        before = torch_loss(twin, every[-1]).item()
    ours, theirs, norms = [], [], []
    for rate, batch in zip(rates, every, strict=True):
        trainable, state, metrics = train_step(shape)(trainable, state, frozen, batch, rate, KEY)
        ours.append(float(metrics['loss']))
        for group in adamw.param_groups:
            group['lr'] = float(rate)
        adamw.zero_grad()
        value = torch_loss(twin, batch)
        value.backward()
        norms.append((float(metrics['grad_norm']), float(torch.nn.utils.clip_grad_norm_(parameters, run.clip))))
        adamw.step()
        theirs.append(value.item())
        assert metrics['tokens'] == batch['trained'].sum()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    np.testing.assert_allclose(*zip(*norms, strict=True), rtol=1e-3)
    assert min(norms)[0] > run.clip  # clipping was at work
    with torch.no_grad():
        after = torch_loss(twin, batch).item()
    tuned = jax.jit(functools.partial(loss, shape))(trainable, frozen, batch) / batch['trained'].sum()
    np.testing.assert_allclose(tuned, after, rtol=1e-4)
    assert after < 0.95 * before  # and steps mattered


def test_the_gradient_of_an_adapter_is_pefts(small, data, tmp_path):
    config, base, _ = small
    shape = recipe(LORA, config, 'float32')
    adapter, _ = started(LORA, base)
    batch = steps_of(LORA, data)[0]
    ours = jax.jit(jax.grad(functools.partial(loss, shape)))(adapter, base, batch)
    twin, _ = torch_twin(LORA, small, tmp_path)
    (torch_loss(twin, batch) * batch['trained'].sum()).backward()
    found = {name: parameter.grad for name, parameter in twin.named_parameters() if parameter.requires_grad}
    for name, term in ours['layers'].items():
        for side in 'ab':
            theirs = [grad.numpy().T for key, grad in found.items() if f'{name}.lora_{side.upper()}' in key]
            assert abs(np.stack(theirs)).max() > 0.1
            np.testing.assert_allclose(term[side], np.stack(theirs), rtol=1e-3, atol=1e-4)


def test_the_gradient_of_every_parameter_is_torchs(small, data):
    config, base, torch_model = small
    shape = recipe(FULL, config, 'float32')
    batch = steps_of(FULL, data)[0]
    ours = jax.jit(jax.grad(functools.partial(loss, shape)))(base, None, batch)
    twin = copy.deepcopy(torch_model)
    (torch_loss(twin, batch) * batch['trained'].sum()).backward()
    grads = {name: parameter.grad.numpy() for name, parameter in twin.named_parameters()}
    for row, leaf in name_rows(ours, ''):
        names = [row.name('hf', i) for i in range(config.num_hidden_layers)] if row.stacked else [row.hf]
        theirs = [grads.pop(name).T if row.transposed else grads.pop(name) for name in names]
        expected = np.stack(theirs) if row.stacked else theirs[0]
        np.testing.assert_allclose(leaf, expected, rtol=1e-3, atol=1e-3 * abs(expected).max(), err_msg=row.path)
    assert not grads


@pytest.mark.parametrize('run', [FULL, LORA, NOISY], ids=['full', 'lora', 'noisy'])
def test_micro_batches_add_up_to_the_batch(run, small, data):
    config, base, _ = small
    batch = steps_of(run, data)[0]
    results = []
    for rows in (6, 2):
        shape = recipe(dataclasses.replace(run, micro_batch_size=rows), config, 'float32')
        trainable, frozen = started(run, base)
        trainable = jax.tree.map(jnp.copy, trainable)
        state = shape.optimizer.init(trainable)
        results.append(train_step(shape)(trainable, state, frozen, batch, np.float32(1e-3), KEY))
    assert shape.micro_batches == 3
    (whole, _, metrics), (parts, _, summed) = results
    for name in metrics:
        np.testing.assert_allclose(metrics[name], summed[name], rtol=1e-5, err_msg=name)
    # One step of Adam moves by about the rate, so parameters must be nearer than a hundredth of it.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, parts)


def test_a_lora_step_takes_at_most_seven_tenths_of_a_full_steps_flops():
    """One layer of Llama-2-7B with its 32nd of the vocabulary, by XLA's own count."""
    config = LlamaConfig(32_000 // 32, 4096, 11_008, 1, 32, 32, 128, 4096, 1e-5, 1e4)
    base = model.shapes(config)
    row = lambda dtype: jax.ShapeDtypeStruct((1, 512), dtype)  # noqa: E731
    batch = {name: row(jnp.int32) for name in ('tokens', 'positions', 'segments')} | {'trained': row(bool)}
    flops = {}
    for method in ('lora', 'full'):
        run = Run(method=method, batch_size=1, remat='none')
        shape = recipe(run, config, 'float32')
        trainable, frozen = jax.eval_shape(lambda run=run: started(run, base))
        state = jax.eval_shape(shape.optimizer.init, trainable)
        rate, key = jax.ShapeDtypeStruct((), jnp.float32), jax.eval_shape(lambda: KEY)
        compiled = train_step(shape).lower(trainable, state, frozen, batch, rate, key).compile()
        flops[method] = compiled.cost_analysis()['flops']
    # Forward is 2 FLOPs a weight and token, so neither count can have lost a matmul.
    assert flops['lora'] > 2 * 2 * 512 * (4 * 4096**2 + 3 * 4096 * 11_008) * 0.85
    assert flops['lora'] / flops['full'] <= 0.70
