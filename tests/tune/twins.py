"""Runs, their starts and their twins in torch and peft, for the tests of the train step."""

import copy
import dataclasses
import re

import jax
import peft
import torch

from jaxshift.config import Run
from jaxshift.data import batches
from jaxshift.tune import lora
from jaxshift.tune.step import lora_spec
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
