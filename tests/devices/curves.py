"""Loss curves, measures and responses on meshes of eight virtual devices and on one; a program of the tests.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python curves.py OUT.npz
"""

import json
import math
import sys

import jax
import numpy as np
from eight_devices import place

from jaxshift.config import Mesh, Run
from jaxshift.devices import mesh as meshes
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.respond.decode import Decoder, generate
from jaxshift.shift.sweep import Pair, compare
from jaxshift.tune import lora
from jaxshift.tune.step import lora_spec, recipe, train_step

VOCABULARY = 2 * 776  # a number that nothing else has
CONFIG = LlamaConfig(VOCABULARY, 64, 96, 2, 4, 2, 16, 64, 1e-5, 1e4)
FULL = Run(method='full', batch_size=8, weight_decay=0.1, pack=True)
LORA = Run(method='lora', batch_size=8, rank=2, targets=('q_proj', 'o_proj', 'down_proj'), remat='none')
MESHES = {
    'one': Mesh(data=1),
    'data 2': Mesh(data=2),
    'data 8': Mesh(data=8),
    'fsdp 8': Mesh(data=1, fsdp=8),
    'fsdp 4, tensor 2': Mesh(data=1, fsdp=4, tensor=2),
    'fsdp 2, tensor 2, sequence 2': Mesh(data=1, fsdp=2, tensor=2, sequence=2),
}
ANSWERED = ('one', 'fsdp 2, tensor 2, sequence 2')
SWEPT = ('fsdp 8', *ANSWERED)
STEPS, ROWS, LENGTH = 20, 8, 32

random = np.random.default_rng(0)
arrays: dict[str, np.ndarray] = {}
texts: dict[str, str] = {}


def draw_batch():
    ends = random.integers(16, LENGTH + 1, (ROWS, 1))
    index = np.arange(LENGTH)
    inside, second = index < ends, index >= ends // 2  # two examples a row
    return {
        'tokens': random.integers(0, 40, (ROWS, LENGTH)).astype(np.int32),
        'positions': np.where(inside, index - second * (ends // 2), 0).astype(np.int32),
        'segments': (inside * (1 + second)).astype(np.int32),
        'trained': inside & (index % 7 > 2),
    }


BATCHES = [draw_batch() for _ in range(3)]
BASE = jax.tree.map(np.asarray, jax.jit(lambda: model.init(CONFIG, jax.random.key(0)))())
ADAPTER = jax.tree.map(np.asarray, lora.init(jax.random.key(1), BASE, lora_spec(LORA)))
TUNED = jax.tree.map(lambda x: (x + 0.1 * random.normal(size=x.shape)).astype(x.dtype), ADAPTER)
WINDOWS = {
    'tokens': random.integers(0, VOCABULARY, (ROWS, LENGTH)).astype(np.int32),
    'windows': np.sort(random.integers(0, LENGTH, (ROWS, 12)).astype(np.int32)),
    'emitted': random.integers(0, VOCABULARY, (ROWS, 12)).astype(np.int32),
}
PROMPTS = [random.integers(0, VOCABULARY, length).tolist() for length in (3, 9, 5, 7, 1, 8, 2, 4)]


def curve(name, mesh, run):
    base = place(mesh, BASE)
    trainable, frozen = (place(mesh, ADAPTER), base) if run.method == 'lora' else (base, None)
    shape = recipe(run, CONFIG, 'float32')
    state, losses, compiled = place(mesh, jax.jit(shape.optimizer.init)(trainable)), [], None
    for index in range(STEPS):
        batch, key = meshes.put_rows(mesh, BATCHES[index % len(BATCHES)]), jax.random.key(index)
        arguments = trainable, state, frozen, batch, np.float32(3e-3), key
        compiled = compiled or train_step(shape, mesh).lower(*arguments).compile()
        trainable, state, metrics = compiled(*arguments)
        losses.append(metrics['loss'])
    arrays[f'{name} {run.method} losses'] = np.array(losses)
    texts[f'{name} {run.method}'] = compiled.as_text()


def swept(name, mesh):
    base, adapter, rows = place(mesh, BASE), place(mesh, TUNED), meshes.put_rows(mesh, WINDOWS)
    paired = lora.merge(base, adapter, lora_spec(LORA), paired=True)
    two = base, jax.jit(lora.fold)(lora.merge(base, adapter, lora_spec(LORA)))
    for form, params in (('paired', paired), ('two', two)):
        pair = Pair(CONFIG, 'float32', form == 'paired')
        compiled = compare.lower(pair, params, **rows, chunk=16, top_k=5).compile()
        found = compiled(params, **rows)._asdict()
        arrays.update({f'{name} {form} {field}': np.asarray(value) for field, value in found.items()})
        texts[f'{name} {form}'] = compiled.as_text()


def answered(name, mesh):
    decoder = Decoder(CONFIG, 'float32', (), 12)
    arrays[f'{name} responses'] = np.array(generate(decoder, place(mesh, BASE), PROMPTS, 12))


def logits(params):
    hidden = jax.jit(model.forward, static_argnums=0)(CONFIG, params, WINDOWS['tokens'])
    hidden = np.take_along_axis(np.asarray(hidden, np.float64), WINDOWS['windows'][..., None], axis=1)
    return hidden @ BASE['lm_head'].astype(np.float64)


if __name__ == '__main__':
    for name, layout in MESHES.items():
        size = math.prod((layout.data, layout.fsdp, layout.tensor, layout.sequence))
        mesh = meshes.make(layout, jax.devices()[:size])
        with jax.set_mesh(mesh):
            curve(name, mesh, FULL)
            curve(name, mesh, LORA)
            if name in SWEPT:
                swept(name, mesh)
            if name in ANSWERED:
                answered(name, mesh)
    arrays['base_logits'] = logits(BASE)
    arrays['tuned_logits'] = logits(lora.merge(BASE, TUNED, lora_spec(LORA)))
    np.savez(sys.argv[1], texts=json.dumps(texts), emitted=WINDOWS['emitted'], **arrays)
