"""`jax.pmap` over a mesh whose devices all hold the same parameters: each runs a function on rows of its own."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

AXIS = 'replica'


def mapped(function: Callable, mesh: Mesh) -> Callable:
    """`function(params, rows)` under `jax.pmap`, for `run`."""
    return jax.pmap(function, AXIS, in_axes=(None, 0), devices=mesh.devices.flatten().tolist())


def run(function: Callable, params, rows, mesh: Mesh):
    """Rows dealt to the devices, and what they make of them; all processes must call it.

    Args:
      function: of `mapped`.
      params: tree of arrays, whole on every device of the mesh.
      rows: tree of numpy arrays [B, ...], the same on every process; B is a multiple of the devices.
      mesh: the devices.

    Returns:
      The function's tree as numpy arrays [B, ...], on every process.
    """
    owners = np.array([device.process_index for device in mesh.devices.flat])
    own, order = owners == jax.process_index(), np.argsort(np.argsort(owners, kind='stable'))
    dealt = jax.tree.map(lambda array: array.reshape(len(owners), -1, *array.shape[1:])[own], rows)
    with jax.set_mesh(Mesh(mesh.devices.flatten(), (AXIS,))):  # pmap takes no other mesh beside its own
        found = jax.tree.map(np.asarray, function(params, dealt))
    if jax.process_count() > 1:
        found = jax.tree.map(lambda array: array[order], multihost_utils.process_allgather(found, tiled=True))
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), found)
