"""Keeps the host's memory between steps when the host itself is the device."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from importlib import metadata
from pathlib import Path

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1  # bytes
_PCI = Path('/sys/bus/pci/devices')
_GOOGLE = '0x1ae0'  # vendor of a TPU on the PCI bus


def keep() -> None:
    """Tells glibc not to give freed memory back to the kernel; must be called before JAX is imported.

    XLA's CPU client allocates the temporaries of every execution anew. Given back and taken again, every page of them
    faults: a third of the processor time of a small training step. Where JAX has an accelerator, or under another C
    library, nothing is done.
    """
    if accelerated():
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
    mallopt(_M_ARENA_MAX, 1)


def accelerated() -> bool:
    """Whether JAX will find an accelerator; libtpu alone is no TPU, it compiles for absent ones too."""
    if os.environ.get('JAX_PLATFORMS') == 'cpu':
        return False
    if metadata.entry_points(group='jax_plugins'):
        return True
    tpu = any(path.read_text().strip() == _GOOGLE for path in _PCI.glob('*/vendor'))
    return tpu and importlib.util.find_spec('libtpu') is not None
