"""The mesh: one layout of all devices over the axes data, fsdp, tensor and sequence."""

from __future__ import annotations

import math
from collections import defaultdict

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxshift import config
from jaxshift.devices.sharding import ROWS
from jaxshift.errors import InputError

AXES = ('data', 'fsdp', 'tensor', 'sequence')


def make(layout: config.Mesh, devices: list | None = None) -> Mesh:
    """Lays the devices out as configured; an axis of -1 takes what the others leave.

    Raises:
      InputError: the sizes do not multiply to the number of devices, or leave more than one axis free; or `dcn` is not
        the number of slices, or does not divide data; or an axis has no links of its own in the topology.
    """
    devices = jax.devices() if devices is None else devices
    sizes = [getattr(layout, axis) for axis in AXES]
    asked = ', '.join(f'{axis}={size}' for axis, size in zip(AXES, sizes, strict=True))
    if sizes.count(-1) > 1 or any(size < 1 for size in sizes if size != -1):
        raise InputError(f'config.mesh: {asked}; sizes must be at least 1, and one of them may be -1')
    fixed = math.prod(size for size in sizes if size != -1)
    sizes = [len(devices) // fixed if size == -1 else size for size in sizes]
    if math.prod(sizes) != len(devices):
        raise InputError(
            f'config.mesh: {asked} does not fit {len(devices)} devices; the sizes must multiply to {len(devices)}'
        )
    try:
        laid = over_slices(layout.dcn, sizes, devices)
    except NotImplementedError as error:  # of a TPU topology such as 4x4x4
        raise InputError(
            f'config.mesh: {asked} cannot be laid on the links between these {len(devices)} devices; '
            'every size must be a product of the sizes of their topology'
        ) from error
    return Mesh(laid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def over_slices(slices: int, sizes: list[int], devices: list) -> np.ndarray:
    """Devices [data, fsdp, tensor, sequence]; the data axis alone goes from one slice to another.

    Raises:
      InputError: see `make`.
    """
    # Where the runtime tells no slices, a slice is what one process has: a host of GPUs.
    by_process, tpu = not hasattr(devices[0], 'slice_index'), devices[0].platform == 'tpu'
    found: dict[int, list] = defaultdict(list)
    for device in devices:
        found[device.process_index if by_process else device.slice_index].append(device)
    if slices == 1 and (by_process or not tpu):
        found = {0: devices}  # jax.make_mesh takes hosts of GPUs for slices, but one mesh may go over their network
    if len(found) != slices or len({len(part) for part in found.values()}) > 1 or sizes[0] % slices:
        raise InputError(
            f'config.mesh.dcn is {slices}: there must be as many slices, all of one size, and data, {sizes[0]}, must '
            f'be a multiple; the devices are of {len(found)} {"processes" if by_process else "slices"}'
        )
    within = (sizes[0] // slices, *sizes[1:])
    parts = (_on_links(within, found[key]) if tpu else np.reshape(found[key], within) for key in sorted(found))
    return np.concatenate(list(parts))


def _on_links(sizes: tuple[int, ...], slice_: list) -> np.ndarray:
    """The TPUs of one slice, so that neighbours on an axis of the mesh are neighbours in its topology."""
    return jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=slice_).devices


def check_heads(mesh: Mesh, heads: int, kv_heads: int) -> None:
    """Raises InputError when the attention heads of a model cannot be dealt to the tensor axis."""
    size = mesh.shape['tensor']
    if heads % size or kv_heads % size:
        raise InputError(
            f'config.mesh.tensor is {size}, which does not divide the {heads} attention heads and {kv_heads} key and '
            f'value heads of the base; take {math.gcd(heads, kv_heads)} or a divisor of it'
        )


def put_rows(mesh: Mesh, batch: dict, share: tuple[int, int] = (0, 1)) -> dict:
    """Puts a tree of numpy arrays [rows, T] onto the mesh, as global arrays.

    Rows are dealt over data and fsdp, positions over sequence.

    Args:
      mesh: the devices.
      batch: some rows of a batch, at least those of this process's devices.
      share: which of how many equal parts of the batch they are.
    """
    index, count = share
    sharding = NamedSharding(mesh, PartitionSpec(ROWS, 'sequence'))

    def one(array: np.ndarray) -> jax.Array:
        rows = len(array)

        def part(place) -> np.ndarray:
            start, stop, _ = place[0].indices(rows * count)
            return array[(slice(start - index * rows, stop - index * rows), *place[1:])]

        return jax.make_array_from_callback((rows * count, *array.shape[1:]), sharding, part)

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
