"""The loss on examples that are not trained on."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
from jax.sharding import Mesh

from jaxshift.config import Run
from jaxshift.data import batches
from jaxshift.data.dataset import Dataset
from jaxshift.devices import mesh as meshes
from jaxshift.tune.step import Recipe, loss


def mean_loss(run: Run, recipe: Recipe, trainable: dict, frozen: dict | None, dataset: Dataset, mesh: Mesh) -> float:
    """Mean loss of all trained tokens of a data set, in nats a token, without dropout and noise.

    Args:
      run: gives the rows computed at once: those of training, so that no more memory is needed.
      recipe, trainable, frozen: see `step.assemble`.
      dataset: the examples.
      mesh: the devices.
    """
    rows = run.micro_batch_size or run.batch_size
    plan = batches.Schedule(dataset.lengths, 0, 1, rows, dataset.counts['max_length'], run.pack)
    total = tokens = 0.0
    share = meshes.row_share(mesh)
    for _, batch in batches.loader(dataset, plan, 0, *share):
        value, count = _summed(recipe)(trainable, frozen, meshes.put_rows(mesh, batch, share))
        total, tokens = total + float(value), tokens + float(count)
    return total / tokens


@functools.lru_cache
def _summed(recipe: Recipe) -> Callable:
    def summed(trainable, frozen, batch):
        return loss(recipe, trainable, frozen, batch), batch['trained'].sum()

    return jax.jit(summed)
