"""The train loop: batches in, checkpoints and metrics out; a restart goes on where the last checkpoint stands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from jaxshift.config import Run
from jaxshift.data import batches
from jaxshift.data.dataset import Dataset
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process, sharding
from jaxshift.errors import InputError, RunFailed
from jaxshift.store import checkpoint
from jaxshift.store.metrics import Metrics
from jaxshift.tune import optimizer
from jaxshift.tune.step import Recipe, train_step


def schedule(run: Run, dataset: Dataset) -> batches.Schedule:
    """The rows of every step of a run."""
    return batches.Schedule(
        dataset.lengths, run.seed, run.epochs, run.batch_size, dataset.counts['max_length'], run.pack,
        run.min_steps, run.max_steps,
    )  # fmt: skip


def check(run: Run, mesh: Mesh, key: str) -> None:
    """Raises InputError when a batch cannot be cut into micro-batches and dealt to the devices; `key` of the config."""
    rows = run.micro_batch_size or run.batch_size
    shards = meshes.row_shards(mesh)
    if run.batch_size % rows or rows % shards:
        raise InputError(
            f'config.{key}: batch_size {run.batch_size} must be a multiple of micro_batch_size {rows}, and that '
            f'of the {shards} row shards of the mesh (data x fsdp)'
        )


def train(
    run: Run,
    recipe: Recipe,
    trainable: Callable[[], dict],
    frozen: dict | None,
    dataset: Dataset,
    mesh: Mesh,
    folder: Path,
    stop: process.StopSignal,
    say: Callable[[str], None],
    progress: Callable[[int, int, dict], None],
) -> dict:
    """Trains to the last step and returns the trained tree.

    Args:
      run: the configured run.
      recipe: what it compiles to.
      trainable: makes the tree that training starts from, on the mesh.
      frozen: parameters that are used and not trained (LoRA), or None.
      dataset: the examples.
      mesh: the devices.
      folder: takes checkpoints/, metrics.jsonl and tensorboard/.
      stop: is asked after every step; a request saves and raises `Stopped`.
      say: takes lines for the user.
      progress: takes (steps done, steps in all, metrics) at every logged step.

    Raises:
      RunFailed: the loss or its gradient is not finite; the last checkpoint is kept.
    """
    plan = schedule(run, dataset)
    checkpoints = folder / 'checkpoints'
    values, state, start = _begin(recipe, trainable, mesh, checkpoints, say)
    rates = optimizer.learning_rates(run, plan.steps)
    key = jax.random.key(run.seed)
    log = Metrics(folder, start)
    step_function = train_step(recipe, mesh)
    pending: list[tuple[int, dict]] = []
    clock, tokens_seen, tokens_then = time.perf_counter(), 0.0, 0.0
    loader = batches.loader(dataset, plan, start, jax.process_index(), jax.process_count())
    for index, batch in loader:
        values, state, metrics = step_function(
            values, state, frozen, meshes.put_rows(mesh, batch), rates[index], jax.random.fold_in(key, index)
        )
        step = index + 1
        pending.append((step, metrics))
        last = step == plan.steps
        logged = step % run.log_every == 0 or step == start + 1 or last
        stopping = stop.requested  # asked once: a signal that comes while a step is waited for is heeded after the next
        saved = step % run.checkpoint_every == 0 or last or stopping
        if not (logged or saved or len(pending) > 1):
            continue
        # One step stays in flight, so that the device does not wait for the host to look at a loss.
        while len(pending) > (0 if logged or saved else 1):
            done, numbers = pending.pop(0)
            numbers = _finite(numbers, done, checkpoints)
            tokens_seen += numbers['tokens']
        if logged:
            now = time.perf_counter()
            rate = (tokens_seen - tokens_then) / (now - clock)
            clock, tokens_then = now, tokens_seen
            row = {**numbers, 'learning_rate': float(rates[index]), 'tokens_per_second': rate}
            log.write(step, row)
            progress(step, plan.steps, row)
        if saved:
            checkpoint.save(checkpoints, step, {'trainable': values, 'optimizer': state})
            _forget_older(checkpoints, step)
        if stopping and not last:
            stop.check()
    log.close()
    return values


def _begin(recipe: Recipe, trainable: Callable[[], dict], mesh: Mesh, checkpoints: Path, say: Callable[[str], None]):
    """Values, optimizer state and number of steps done: from the newest sound checkpoint, or from the start."""
    step, passed = checkpoint.newest(checkpoints)
    for line in passed:
        say(line)
    values = trainable()
    state = jax.jit(recipe.optimizer.init)(values)
    state = jax.device_put(state, sharding.shardings(mesh, state))
    if step is None:
        return values, state, 0
    say(f'going on from step {step}')
    folder = checkpoints / str(step)
    values = checkpoint.restore(folder, 'trainable', sharding.abstract(mesh, values))
    return values, checkpoint.restore(folder, 'optimizer', sharding.abstract(mesh, state)), step


def _finite(metrics: dict, step: int, checkpoints: Path) -> dict[str, float]:
    numbers = {name: float(np.asarray(value)) for name, value in metrics.items()}
    if math.isfinite(numbers['loss']) and math.isfinite(numbers['grad_norm']):
        return numbers
    kept, _ = checkpoint.newest(checkpoints)
    good = f'the checkpoint of step {kept} is kept' if kept else 'there is no checkpoint yet'
    raise RunFailed(
        f'step {step}: loss {numbers["loss"]}, gradient norm {numbers["grad_norm"]}; {good}. '
        'Lower the learning rate, or look for examples without trained tokens'
    )


def _forget_older(checkpoints: Path, step: int) -> None:
    """Keeps this step and the one before it."""
    if process.leads():
        for old in checkpoint.steps(checkpoints)[:-2]:
            if old < step:
                checkpoint.remove(checkpoints, old)
