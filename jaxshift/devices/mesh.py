"""The mesh: one layout of all devices over the axes data, fsdp, tensor and sequence."""

from __future__ import annotations

import math

import jax
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


def put_rows(mesh: Mesh, batch: dict) -> dict:
    """Puts this process's rows of a batch of numpy arrays [rows, ...] onto the mesh, as global arrays."""
    sharding = NamedSharding(mesh, ROWS)
    return {name: jax.make_array_from_process_local_data(sharding, array) for name, array in batch.items()}


def row_shards(mesh: Mesh) -> int:
    """Number of slices that the rows of a batch are cut into."""
    return mesh.shape['data'] * mesh.shape['fsdp']


def check_heads(mesh: Mesh, heads: int, kv_heads: int) -> None:
    """Raises InputError when the attention heads of a model cannot be dealt to the tensor axis."""
    size = mesh.shape['tensor']
    if heads % size or kv_heads % size:
        raise InputError(
            f'config.mesh.tensor is {size}, which does not divide the {heads} attention heads and {kv_heads} key and '
            f'value heads of the base; take {math.gcd(heads, kv_heads)} or a divisor of it'
        )
