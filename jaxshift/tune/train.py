"""The train loop: batches in, checkpoints and metrics out; a restart goes on where the last checkpoint stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxshift.config import Run
from jaxshift.data import batches
from jaxshift.data.dataset import Dataset
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process, sharding, throughput
from jaxshift.errors import InputError, RunFailed
from jaxshift.llama import flops, model
from jaxshift.store import checkpoint, ledger
from jaxshift.store.metrics import Metrics
from jaxshift.store.trackers import TENSORBOARD, Told
from jaxshift.tune import evaluate, lora, optimizer
from jaxshift.tune.step import Recipe, train_step


def schedule(run: Run, dataset: Dataset) -> batches.Schedule:
    """The rows of every step of a run."""
    return batches.Schedule(
        dataset.lengths, run.seed, run.epochs, run.batch_size, dataset.counts['max_length'], run.pack,
        run.min_steps, run.max_steps,
    )  # fmt: skip


def check(run: Run, mesh: Mesh, key: str, max_length: int) -> None:
    """Raises InputError when a batch cannot be cut into micro-batches and dealt to the devices.

    Args:
      run: the configured run.
      mesh: the devices.
      key: of the run in the config.
      max_length: tokens of the longest row.
    """
    rows = run.micro_batch_size or run.batch_size
    shards = meshes.row_shards(mesh)
    if run.batch_size % rows or rows % shards:
        raise InputError(
            f'config.{key}: batch_size {run.batch_size} must be a multiple of micro_batch_size {rows}, and that '
            f'of the {shards} row shards of the mesh (data x fsdp)'
        )
    parts = mesh.shape['sequence']
    if batches.SHORTEST_ROW % parts or max_length % parts:
        raise InputError(
            f'config.mesh.sequence is {parts}; it must divide {batches.SHORTEST_ROW}, the shortest row, and '
            f'{max_length}, the longest (of config.{key})'
        )


def shapes(recipe: Recipe) -> dict:
    """Shapes of what is trained: a tree of `jax.ShapeDtypeStruct`."""
    spec, whole = recipe.spec, model.shapes(recipe.config)
    return whole if spec is None else jax.eval_shape(lambda: lora.init(jax.random.key(0), whole, spec))


def parameters(recipe: Recipe) -> int:
    """How many numbers are trained."""
    whole = model.shapes(recipe.config)
    return recipe.config.parameters if recipe.spec is None else lora.size(whole, recipe.spec)


def first_state(recipe: Recipe, values: dict, mesh: Mesh):
    """The optimizer state that training starts from, laid out by the sharding table."""
    placed = sharding.shardings(mesh, jax.eval_shape(recipe.optimizer.init, values))
    # Made where it stays: its zeros come from no parameter, so XLA would give every device all of them.
    return jax.jit(recipe.optimizer.init, out_shardings=placed)(values)


def train(
    run: Run,
    recipe: Recipe,
    settings: dict[str, Any],
    trainable: Callable[[], dict],
    frozen: dict | None,
    dataset: Dataset,
    held_out: Dataset,
    mesh: Mesh,
    folder: Path,
    stop: process.StopSignal,
    say: Callable[[str], None],
    progress: Callable[[int, int, dict], None],
    profile: Path | None = None,
    told: Told = TENSORBOARD,
) -> dict:
    """Trains to the last step and returns the trained tree.

    Args:
      run: the configured run.
      recipe: what it compiles to.
      settings: all that the result depends on; checkpoints of other settings are refused.
      trainable: makes the tree that training starts from, on the mesh.
      frozen: parameters that are used and not trained (LoRA), or None.
      dataset: the examples.
      held_out: examples whose loss is taken every `eval_every` steps.
      mesh: the devices.
      folder: takes checkpoints/, metrics.jsonl and tensorboard/.
      stop: is asked after every step; a request saves and raises `Stopped`.
      say: takes lines for the user.
      progress: takes (steps done, steps in all, metrics) at every logged step.
      profile: a folder that takes a trace of a few steps, or None.
      told: which trackers there are beside metrics.jsonl, and what they are told.

    Raises:
      InputError: the folder has checkpoints of other settings.
      RunFailed: a loss or the gradient is not finite; the last checkpoint is kept.
    """
    plan = schedule(run, dataset)
    checkpoints = folder / 'checkpoints'
    values, state, start, rows = _begin(recipe, settings, trainable, mesh, checkpoints, say)
    rates = optimizer.learning_rates(run, plan.steps)
    key = jax.random.key(run.seed)
    log = Metrics(folder, start, rows, told)
    step_function = train_step(recipe, mesh)
    pending: list[tuple[int, dict]] = []
    meter, trace = throughput.Meter(list(mesh.devices.flat)), throughput.Trace(profile)
    adapter = None if recipe.spec is None else parameters(recipe)
    num_tokens = sum(int(plan.lengths(index).sum()) for index in range(start))
    share = meshes.row_share(mesh)
    for index, batch in batches.loader(dataset, plan, start, *share):
        trace.before()
        values, state, metrics = step_function(
            values, state, frozen, meshes.put_rows(mesh, batch, share), rates[index], jax.random.fold_in(key, index)
        )
        trace.after(values)
        step = index + 1
        pending.append((step, metrics))
        last = step == plan.steps
        evaluated = run.eval_every and (step % run.eval_every == 0 or last)
        logged = step % run.log_every == 0 or step == 1 or last or evaluated
        stopping = stop.agreed()  # asked once: a signal that comes while a step is waited for is heeded after the next
        saved = step % run.checkpoint_every == 0 or step in run.keep_steps or last or stopping
        if not (logged or saved or len(pending) > 1):
            continue
        # One step stays in flight, so that the device does not wait for the host to look at a loss.
        while len(pending) > (0 if logged or saved else 1):
            done, numbers = pending.pop(0)
            numbers = _finite(numbers, done, checkpoints)
            lengths = plan.lengths(done - 1)
            num_tokens += int(lengths.sum())
            meter.add(numbers['tokens'], flops.train(recipe.config, lengths, numbers['tokens'], adapter))
        if logged:
            row = {**numbers, 'num_tokens': num_tokens, 'learning_rate': float(rates[index]), **meter.read()}
            if evaluated:
                held = evaluate.mean_loss(run, recipe, values, frozen, held_out, mesh)
                row |= _finite({'eval_loss': held}, step, checkpoints)
            meter.restart()
            log.write(step, row)
            progress(step, plan.steps, row)
        if saved:
            checkpoint.save(checkpoints, step, {'trainable': values, 'optimizer': state}, settings, log.rows)
            _forget_older(checkpoints, step, run.keep_steps)
        if stopping and not last:
            log.close()
            stop.check()
    trace.close(values)
    log.close()
    return values


def _begin(
    recipe: Recipe,
    settings: dict[str, Any],
    trainable: Callable[[], dict],
    mesh: Mesh,
    checkpoints: Path,
    say: Callable[[str], None],
):
    """Values, optimizer state, number of steps done and their metrics: from the newest sound checkpoint if any."""

    def newest() -> tuple[int | None, list[str]]:
        checkpoint.remove_unfinished(checkpoints)
        return checkpoint.newest(checkpoints)

    step, passed = process.by_leader('newest checkpoint', newest)
    for line in passed:
        say(line)
    if step is None:
        values = trainable()
        return values, first_state(recipe, values, mesh), 0, []
    folder = checkpoints / str(step)
    if changed := ledger.difference(checkpoint.settings(folder), settings):
        raise InputError(
            f'{checkpoints}: trained with another {changed}; give another --workdir, or remove that folder'
        )
    say(f'going on from step {step}')
    values = shapes(recipe)
    state = jax.eval_shape(recipe.optimizer.init, values)
    values = checkpoint.restore(folder, 'trainable', sharding.abstract(mesh, values))
    state = checkpoint.restore(folder, 'optimizer', sharding.abstract(mesh, state))
    return values, state, step, checkpoint.rows(folder)


def _finite(metrics: dict, step: int, checkpoints: Path) -> dict[str, float]:
    numbers = {name: float(np.asarray(value)) for name, value in metrics.items()}
    names = sorted(numbers, reverse=True)  # the loss first
    wrong = ', '.join(f'{name} {numbers[name]}' for name in names if not math.isfinite(numbers[name]))
    if not wrong:
        return numbers
    kept, _ = checkpoint.newest(checkpoints)
    good = f'the checkpoint of step {kept} is kept' if kept else 'there is no checkpoint yet'
    raise RunFailed(
        f'step {step}: {wrong}; {good}. Lower the learning rate, or look for examples without trained tokens'
    )


def _forget_older(checkpoints: Path, step: int, keep: tuple[int, ...]) -> None:
    """Keeps this step, the one before it, and those asked for."""
    if process.leads():
        for old in [each for each in checkpoint.steps(checkpoints) if each < step][:-1]:
            if old not in keep:
                checkpoint.remove(checkpoints, old)
