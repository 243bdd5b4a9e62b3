"""The mesh: one layout of all devices over the axes data, fsdp, tensor and sequence."""

from __future__ import annotations

import math

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxshift import config
from jaxshift.errors import InputError

AXES = ('data', 'fsdp', 'tensor', 'sequence')
ROWS = PartitionSpec(('data', 'fsdp'))  # how the rows of a batch are dealt


def make(layout: config.Mesh, devices: list | None = None) -> Mesh:
    """Lays the devices out as configured; an axis of -1 takes what the others leave.

    Raises:
      InputError: the sizes do not multiply to the number of devices, or leave more than one axis free.
    """
    count = jax.device_count() if devices is None else len(devices)
    sizes = [getattr(layout, axis) for axis in AXES]
    if sizes.count(-1) > 1 or any(size < 1 for size in sizes if size != -1):
        asked = ', '.join(f'{axis}={size}' for axis, size in zip(AXES, sizes, strict=True))
        raise InputError(f'config.mesh: {asked}; sizes must be at least 1, and one of them may be -1')
    fixed = math.prod(size for size in sizes if size != -1)
    sizes = [count // fixed if size == -1 else size for size in sizes]
    if math.prod(sizes) != count:
        asked = ', '.join(f'{axis}={size}' for axis, size in zip(AXES, sizes, strict=True))
        raise InputError(f'config.mesh: {asked} does not fit {count} devices; the sizes must multiply to {count}')
    return jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def put_rows(mesh: Mesh, batch: dict, share: tuple[int, int] = (0, 1)) -> dict:
    """Puts a tree of numpy arrays [rows, ...] onto the mesh, as global arrays.

    Args:
      mesh: the devices.
      batch: some rows of a batch, at least those of this process's devices.
      share: which of how many equal parts of the batch they are.
    """
    index, count = share

    def one(array: np.ndarray) -> jax.Array:
        rows = len(array)

        def part(place: tuple[slice, ...]) -> np.ndarray:
            start, stop, _ = place[0].indices(rows * count)
            return array[(slice(start - index * rows, stop - index * rows), *place[1:])]

        return jax.make_array_from_callback((rows * count, *array.shape[1:]), NamedSharding(mesh, ROWS), part)

    return jax.tree.map(one, batch)


def row_share(mesh: Mesh) -> tuple[int, int]:
    """Which of how many equal parts of a batch this process's devices need: (index, count).

    Processes that share rows, because an axis that cuts parameters goes through them, need the same part. Where the
    devices lie so that a process needs rows from all over, it is the whole batch, (0, 1).
    """
    shards = row_shards(mesh)
    owners = np.reshape([device.process_index for device in mesh.devices.flat], (shards, -1))
    needed = [np.flatnonzero((owners == process).any(1)).tolist() for process in np.unique(owners)]
    size = len(needed[0])
    if any(len(part) != size or part[0] % size or part[-1] - part[0] != size - 1 for part in needed):
        return 0, 1
    own = np.flatnonzero((owners == jax.process_index()).any(1))
    return int(own[0]) // size, shards // size


def host(tree):
    """Global arrays as numpy arrays, whole on every process; all of them must call it."""

    def one(array):
        if array.is_fully_addressable or array.is_fully_replicated:
            return np.asarray(array)
        return multihost_utils.process_allgather(array, tiled=True)

    return jax.tree.map(one, tree)


def row_shards(mesh: Mesh) -> int:
    """Number of slices that the rows of a batch are cut into."""
    return mesh.shape['data'] * mesh.shape['fsdp']
