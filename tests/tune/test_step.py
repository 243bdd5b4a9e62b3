import copy
import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch

from jaxshift.config import Run
from jaxshift.data import batches
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.tune import lora, noise
from jaxshift.tune.optimizer import learning_rates
from jaxshift.tune.step import assemble, lora_spec, loss, recipe, train_step
from jaxshift.weights.names import rows as name_rows
from jaxshift.weights.peft import save_adapter

FULL = Run(method='full', learning_rate=1e-3, batch_size=6, weight_decay=0.1, clip=0.5, warmup=0.2, max_steps=10)
LORA = dataclasses.replace(FULL, method='lora', learning_rate=5e-3, rank=4, targets=('q_proj', 'v_proj', 'up_proj'))
NOISY = dataclasses.replace(FULL, neftune_alpha=20.0)
# Ranks and alphas that differ by projection and by layer.
RANKS = dataclasses.replace(
    LORA,
    rslora=True,
    rank_pattern=('layers.1.self_attn.q_proj=7', 'v_proj=2', r'layers\.[12]\.mlp.*=3'),
    alpha_pattern=('layers.0.self_attn.v_proj=3', 'up_proj=5.5'),
)
KEY = jax.random.key(0)


def steps_of(run, data):
    plan = batches.Schedule(data.lengths, 0, 50, run.batch_size, 48, run.pack, 0, run.max_steps)
    return [batches.batch(data, plan, step) for step in range(plan.steps)]


def started(run, base):
    """(trainable, frozen) before the first step; b of an adapter is not zero, so that a too gets a gradient."""
    if run.method == 'full':
        return base, None
    adapter = lora.init(jax.random.key(3), base, lora_spec(run))
    for term in adapter['layers'].values():
        real = (term['a'] != 0).any(axis=1)  # [L, r]: what is no padding
        noise = jax.tree.map(lambda x: 0.02 * jax.random.normal(jax.random.key(4), x.shape), term)
        term['a'] += noise['a'] * real[:, None]
        term['b'] += noise['b'] * real[..., None]
    return adapter, base


def torch_twin(run, small, folder):
    """The torch model with the same start, and what of it is trained."""
    config, base, torch_model = small
    twin = copy.deepcopy(torch_model)
    if run.method == 'full':
        return twin, dict(twin.named_parameters())
    save_adapter(folder, started(run, base)[0], lora_spec(run), 'x')
    twin = peft.PeftModel.from_pretrained(twin, folder, is_trainable=True)
    return twin, {name: parameter for name, parameter in twin.named_parameters() if parameter.requires_grad}


def torch_loss(twin, batch):
    """Mean over trained tokens; rows are padded behind, which causal attention does not see."""
    tokens, trained = torch.tensor(batch['tokens']).long(), torch.tensor(batch['trained'])
    logits = twin(tokens).logits[:, :-1][trained[:, 1:]]
    return torch.nn.functional.cross_entropy(logits, tokens[:, 1:][trained[:, 1:]])


def groups(parameters, run):
    """What torch's AdamW decays, and what it does not: as Hugging Face's trainer tells them apart."""
    names = [name for name in parameters if run.decay_norms or not re.search('norm|bias', name)]
    decayed, others = ([parameters[name] for name in parameters if (name in names) == each] for each in (True, False))
    return [{'params': decayed, 'weight_decay': run.weight_decay}, {'params': others, 'weight_decay': 0.0}]


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


@pytest.mark.parametrize('run', [FULL, LORA], ids=['full', 'lora'])
def test_packed_and_padded_batches_have_the_same_loss(run, small, rows):
    config, base, _ = small
    trainable, frozen = started(run, base)
    data = rows([20, 9, 14, 30, 17, 6, 25, 11])
    value = jax.jit(functools.partial(loss, recipe(run, config, 'float32')))
    sums, tokens = [], []
    for pack, size in ((True, 4), (False, 8)):
        plan = batches.Schedule(data.lengths, 0, 1, size, 48, pack)
        parts = [batches.batch(data, plan, step) for step in range(plan.steps)]
        sums.append(sum(float(value(trainable, frozen, part)) for part in parts))
        tokens.append(sum(part['trained'].sum() for part in parts))
        assert pack == any((part['segments'] > 1).any() for part in parts)
    assert tokens[0] == tokens[1]
    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-5)


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
