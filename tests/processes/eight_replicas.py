"""Sweeps on eight virtual devices under jit and under pmap; a program of the tests.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python eight_replicas.py OUT
"""

import sys
from pathlib import Path

import jax
import numpy as np

from jaxshift.config import Mesh, Sweep
from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.devices.process import StopSignal
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.llama.linear import LoraSpec
from jaxshift.shift.contexts import Comparison, cases
from jaxshift.shift.sweep import Pair, sweep
from jaxshift.tune import lora

CONFIG = LlamaConfig(56, 32, 48, 2, 4, 2, 8, 64, 1e-5, 1e4)
SPEC = LoraSpec(('q_proj', 'down_proj'), rank=4, alpha=8.0)

if __name__ == '__main__':
    draw, mesh = np.random.default_rng(0), meshes.make(Mesh())
    responses = [
        {
            'example_id': f'e{number}',
            'prompt_token_ids': draw.integers(0, 56, 3 + number).tolist(),
            'token_ids': draw.integers(0, 56, 20 - number).tolist(),
        }
        for number in range(11)  # not a multiple of the devices
    ]
    prompts = {row['example_id']: [3, *row['prompt_token_ids'][::-1]] for row in responses}
    with jax.set_mesh(mesh):
        base = jax.jit(lambda: model.init(CONFIG, jax.random.key(0)))()
        adapter = jax.tree.map(lambda x: x + 0.1, lora.init(jax.random.key(1), base, SPEC))
        base, adapter = (jax.device_put(tree, sharding.shardings(mesh, tree)) for tree in (base, adapter))
        folded = jax.jit(lora.fold)(lora.merge(base, adapter, SPEC))
        forms = {
            'matched': (Pair(CONFIG, 'float32', True), lora.merge(base, adapter, SPEC, paired=True)),
            'native': (Pair(CONFIG, 'float32', False), (base, folded)),
        }
        comparisons = [
            Comparison('own', template, -1, cases(responses, prompts if template == 'native' else None, 64)[0])
            for template in forms
        ]
        for spmd in ('jit', 'pmap'):
            sweep(
                lambda comparison: forms[comparison.template], comparisons, 'tuned',
                Sweep(batch_size=8, chunk=64, top_k=5, spmd=spmd), None, mesh, Path(sys.argv[1]) / spmd, StopSignal(),
                lambda done, total: None,
            )  # fmt: skip
