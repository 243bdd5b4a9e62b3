"""Thirty steps from the same start and the same batches, here and in torch with PEFT: LoRA from b = 0, and full."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch
from twins import FULL, KEY, LORA, groups, started, steps_of, torch_loss, torch_twin

from jaxshift.tune import lora
from jaxshift.tune.optimizer import learning_rates
from jaxshift.tune.step import lora_spec, recipe, train_step
from jaxshift.weights.peft import open_adapter, save_adapter

STEPS = 30


@pytest.mark.parametrize('run', [LORA, FULL], ids=['lora', 'full'])
def test_thirty_steps_have_the_losses_of_torch_and_peft(run, small, data, tmp_path):
    run = dataclasses.replace(run, max_steps=STEPS)
    config, base, _ = small
    shape = recipe(run, config, 'float32')
    twin, parameters = at_the_start(run, small, tmp_path)
    if run.method == 'lora':
        frozen, trainable = base, open_adapter('dir:x', tmp_path, config).terms()
        assert all(not term['b'].any() for term in trainable['layers'].values())
    else:
        trainable, frozen = started(run, base)
    trainable = jax.tree.map(jnp.array, trainable)  # the step takes its arguments' memory
    state = shape.optimizer.init(trainable)
    adamw = torch.optim.AdamW(groups(parameters, run), betas=(run.b1, run.b2), eps=1e-8)
    ours, theirs = [], []
    for rate, batch in zip(learning_rates(run, STEPS), steps_of(run, data), strict=True):
        trainable, state, metrics = train_step(shape)(trainable, state, frozen, batch, rate, KEY)
        ours.append(float(metrics['loss']))
        for group in adamw.param_groups:
            group['lr'] = float(rate)
        adamw.zero_grad()
        value = torch_loss(twin, batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), run.clip)
        adamw.step()
        theirs.append(value.item())
    assert len(ours) == STEPS
    assert np.mean(ours[-5:]) < 0.95 * np.mean(ours[:5])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    if run.method == 'lora':
        trained_there_and_here(run, small, twin, trainable, tmp_path)


def at_the_start(run, small, folder) -> tuple[Any, dict]:
    """Torch's model as PEFT itself begins, its adapter saved for us; or the whole model."""
    if run.method == 'full':
        return torch_twin(run, small, folder)
    import copy

    torch.manual_seed(2)
    chosen = peft.LoraConfig(r=run.rank, lora_alpha=run.alpha, target_modules=list(run.targets), task_type='CAUSAL_LM')
    twin = peft.get_peft_model(copy.deepcopy(small[2]), chosen)
    twin.save_pretrained(folder)
    return twin, {name: parameter for name, parameter in twin.named_parameters() if parameter.requires_grad}


def trained_there_and_here(run, small, twin, trainable, folder):
    """What was trained there has its logits here, and what was trained here has its logits there."""
    import copy

    from jaxshift.llama import model

    config, base, torch_model = small
    tokens = np.random.default_rng(0).integers(0, 40, (2, 24))

    def here(terms, spec):
        params = lora.merge(base, terms, spec)
        return model.forward(config, params, jnp.asarray(tokens)) @ model.head(params)

    def there(adapted):
        with torch.no_grad():
            return adapted.eval()(torch.tensor(tokens)).logits.numpy()

    twin.save_pretrained(folder / 'theirs')
    found = open_adapter('dir:x', folder / 'theirs', config)
    np.testing.assert_allclose(here(found.terms(), found.spec), there(twin), atol=1e-4, rtol=0)
    save_adapter(folder / 'ours', trainable, lora_spec(run), 'x')
    back = peft.PeftModel.from_pretrained(copy.deepcopy(torch_model), folder / 'ours')
    np.testing.assert_allclose(here(trainable, lora_spec(run)), there(back), atol=1e-4, rtol=0)
    plain = model.forward(config, base, jnp.asarray(tokens)) @ model.head(base)
    assert abs(here(trainable, lora_spec(run)) - plain).max() > 0.05
