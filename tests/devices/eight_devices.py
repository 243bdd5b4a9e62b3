"""Runs on eight virtual devices what one device does too, and leaves both results in a file; a program of the tests.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python eight_devices.py OUT.npz
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from jaxshift.config import Mesh, Run
from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.shift.measures import measures
from jaxshift.store import checkpoint
from jaxshift.tune import lora
from jaxshift.tune.step import lora_spec, recipe, train_step
from jaxshift.tune.train import first_state

CONFIG = LlamaConfig(56, 32, 48, 2, 4, 2, 8, 64, 1e-5, 1e4)
FULL = Run(method='full', batch_size=8, micro_batch_size=4, weight_decay=0.1, clip=0.5, neftune_alpha=5, remat='none')
LORA = Run(method='lora', batch_size=8, rank=4, targets=('q_proj', 'o_proj', 'down_proj'), dropout=0.1, remat='none')
WIDE = LlamaConfig(160, 128, 192, 2, 2, 1, 64, 64, 1e-5, 1e4)  # wide enough for Adafactor's factors
ADAFACTOR = Run(method='full', batch_size=8, optimizer='adafactor', weight_decay=0.1, clip=0.5, remat='none')
BASE = jax.tree.map(np.asarray, jax.jit(lambda: model.init(CONFIG, jax.random.key(0)))())
ADAPTER = jax.tree.map(np.asarray, lora.init(jax.random.key(1), BASE, lora_spec(LORA)))
VOCABULARY = 8 * 776  # cut over eight devices; a number that nothing else has

random = np.random.default_rng(0)
arrays: dict[str, np.ndarray] = {}
facts: dict[str, object] = {}


def keep(name, tree):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        arrays[name + jax.tree_util.keystr(path)] = np.asarray(leaf)


def draw_batch():
    tokens = random.integers(0, 56, (8, 24)).astype(np.int32)
    lengths = random.integers(10, 24, (8, 1))
    inside = np.arange(24) < lengths
    return {
        'tokens': tokens,
        'positions': np.where(inside, np.arange(24), 0).astype(np.int32),
        'segments': inside.astype(np.int32),
        'trained': inside & (np.arange(24) > 4),
    }


def place(mesh, tree):
    return jax.device_put(tree, sharding.shardings(mesh, tree))


def three_steps(name, mesh, run, batches, config=CONFIG, base=BASE):
    base = place(mesh, base)
    trainable, frozen = base, None
    if run.method == 'lora':
        trainable, frozen = place(mesh, ADAPTER), base
    shape = recipe(run, config, 'float32')
    state = first_state(shape, trainable, mesh)
    facts[f'{name} first state'] = specs(state)
    step_function, losses = train_step(shape, mesh), []
    for index, batch in enumerate(batches):
        key = jax.random.fold_in(jax.random.key(2), index)
        batch = meshes.put_rows(mesh, batch)
        with jax.set_mesh(mesh):
            trainable, state, metrics = step_function(trainable, state, frozen, batch, np.float32(1e-2), key)
        losses.append(float(metrics['loss']))
    arrays[f'{name} loss'] = np.array(losses)
    facts[f'{name} compilations'] = step_function._cache_size()
    keep(f'{name} params', trainable)
    keep(f'{name} state', state)
    return trainable, state


def specs(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): [*map(str, leaf.sharding.spec)] for path, leaf in leaves}


def cut_vocabulary():
    """`measures` whole, and with the vocabulary cut over eight devices."""
    base = random.integers(-6, 7, (5, VOCABULARY)).astype(np.float32)  # many equal logits, on other devices too
    base[:3] = random.normal(0, 3, (3, VOCABULARY))
    tuned = np.where(random.random(base.shape) < 0.5, base, base + random.normal(0, 0.3, base.shape)).astype(np.float32)
    emitted = random.integers(0, VOCABULARY, 5).astype(np.int32)
    devices = jax.make_mesh((8,), ('tensor',), axis_types=(jax.sharding.AxisType.Auto,))
    cut = jax.jit(
        jax.shard_map(
            lambda base, tuned, emitted: measures(base, tuned, emitted, 10, 'tensor'),
            mesh=devices,
            in_specs=(P(None, 'tensor'), P(None, 'tensor'), P()),
            out_specs=P(),
            check_vma=False,
        )
    )
    for name, rows in (('drawn', (base, tuned)), ('equal', (base, base))):
        keep(f'cut {name}', cut(*rows, emitted)._asdict())
        keep(f'whole {name}', jax.jit(measures)(*rows, emitted)._asdict())
    placed = [jax.device_put(x, jax.NamedSharding(devices, P(None, 'tensor'))) for x in (base, tuned)]
    facts['text'] = cut.lower(*placed, jnp.asarray(emitted)).compile().as_text()


if __name__ == '__main__':
    eight, one = meshes.make(Mesh(data=2, fsdp=2, tensor=2)), meshes.make(Mesh(), jax.devices()[:1])
    batches = [draw_batch() for _ in range(3)]
    for run in (FULL, LORA):
        three_steps(f'one {run.method}', one, run, batches)
        trainable, state = three_steps(f'eight {run.method}', eight, run, batches)
        facts[f'{run.method} params'], facts[f'{run.method} state'] = specs(trainable), specs(state)
        folder = checkpoint.save(Path(sys.argv[1]).parent / run.method, 3, {'trainable': trainable})
        restored = checkpoint.restore(folder, 'trainable', sharding.abstract(one, trainable))
        keep(f'restored {run.method} params', restored)
    wide = jax.tree.map(np.asarray, jax.jit(lambda: model.init(WIDE, jax.random.key(0)))())
    three_steps('one adafactor', one, ADAFACTOR, batches, WIDE, wide)
    _, state = three_steps('eight adafactor', eight, ADAFACTOR, batches, WIDE, wide)
    folder = checkpoint.save(Path(sys.argv[1]).parent / 'adafactor', 3, {'optimizer': state})
    keep('restored adafactor state', checkpoint.restore(folder, 'optimizer', sharding.abstract(one, state)))
    cut_vocabulary()
    np.savez(sys.argv[1], facts=json.dumps(facts), **arrays)
