"""Devices to compile for: those that are here, or those of a TPU topology that is not."""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path

from jaxshift.devices import host_memory
from jaxshift.errors import InputError

HERE = 'devices'
_DEVICES = Path('/dev')
# What libtpu would otherwise ask the metadata server of a TPU VM for.
_ENVIRONMENT = {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
    'JAX_PLATFORMS': 'cpu',  # what computes here
    'TPU_MIN_LOG_LEVEL': '3',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # nothing here needs a TPU to itself
}


def prepare(name: str) -> None:
    """Sets what compiling for an absent topology needs; must be called before JAX is imported."""
    if name != HERE:
        os.environ.update(_ENVIRONMENT)


def host_alone() -> None:
    """Tells JAX not to look for a TPU where libtpu is installed to plan for others; before JAX is imported.

    It would look for half a minute, and print what it misses. Any sign of a TPU, or a word of the user, is heeded.
    """
    signs = (
        *_DEVICES.glob('accel*'),
        *_DEVICES.glob('vfio*'),
        *(name for name in os.environ if name.startswith('TPU_')),
    )
    if importlib.util.find_spec('libtpu') and not signs and not host_memory.accelerated():
        os.environ.setdefault('JAX_PLATFORMS', 'cpu')


@functools.cache  # devices of two descriptions of one topology are never equal, and neither are programs for them
def devices(name: str, slices: int = 1) -> list:
    """The devices of so many slices of a topology such as v5e:4x4, or `devices` for those that are here.

    Raises:
      InputError: libtpu is not installed, or does not know the name.
    """
    import jax  # `prepare` must come before
    from jax.experimental import topologies

    if name == HERE:
        return jax.devices()
    if importlib.util.find_spec('libtpu') is None:
        raise InputError(
            f"--topology={name} needs libtpu, which compiles for TPUs that are not here: pip install -e '.[plan]'; "
            f'or take --topology={HERE}'
        )
    try:
        return list(topologies.get_topology_desc(platform='tpu', topology_name=name, num_slices=slices).devices)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].partition(': ')[2] or str(error)
        raise InputError(
            f'--topology={name}: libtpu knows no such topology ({reason}); give one like v5e:4x4, v5p:4x4x4, '
            f'v6e:2x4, or {HERE}'
        ) from error
