"""What a chip can do: memory that a program may take, and the peak rates that model FLOPs utilisation is held against.

Memory of TPUs is what libtpu 0.0.42's compiler allots. Rates are those of Google Cloud's TPU pages and NVIDIA's data
sheets: dense bfloat16, without sparsity. Rates of GPUs are those of the SXM form, but where the name says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from jaxshift.errors import InputError

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One device.

    Attributes:
      memory: bytes that a program may take.
      source: who says so.
      flops: peak bfloat16 FLOP/s; None where it is not known, as of a CPU.
      bandwidth: peak bytes/s between the device and its memory; None likewise.
    """

    memory: int
    source: str
    flops: float | None = None
    bandwidth: float | None = None


# By device_kind, the longest name that it begins with: GiB, FLOP/s, bytes/s of a whole chip.
TABLE = {
    'TPU v3': (30.96, 123e12, 900e9),
    'TPU v4': (30.5, 275e12, 1228e9),
    'TPU v5 lite': (15.75, 197e12, 819e9),
    'TPU v5e': (15.75, 197e12, 819e9),
    'TPU v5': (95.74, 459e12, 2765e9),
    'TPU v6 lite': (31.25, 918e12, 1638e9),
    'TPU v6e': (31.25, 918e12, 1638e9),
    'TPU7x': (189.5, 2307e12, 7380e9),
    'NVIDIA A100-SXM4-40GB': (39.4, 312e12, 1555e9),
    'NVIDIA A100-PCIE-40GB': (39.4, 312e12, 1555e9),
    'NVIDIA A100': (79.2, 312e12, 2039e9),
    'NVIDIA A100 80GB PCIe': (79.2, 312e12, 1935e9),
    'NVIDIA H100': (79.1, 989e12, 3350e9),
    'NVIDIA H100 PCIe': (79.1, 756e12, 2000e9),
    'NVIDIA H100 NVL': (93.1, 835e12, 3900e9),
    'NVIDIA H200': (139.7, 989e12, 4800e9),
    'NVIDIA H200 NVL': (139.7, 835e12, 4800e9),
}
TPU_SOURCE = "as libtpu's compiler allots"


def chip(devices: Sequence) -> Chip:
    """What each of the devices can do, which may be those of an absent topology.

    A TPU v4 is one device where its runtime joins the two cores, else two that share what the table says.

    Raises:
      InputError: an absent TPU that the table does not have.
    """
    device = devices[0]
    kind = max((name for name in TABLE if device.device_kind.startswith(name)), key=len, default='')
    memory, flops, bandwidth = TABLE.get(kind, (0, None, None))
    tpu = device.platform == 'tpu'
    # Every slice of TPUs counts its coordinates anew.
    places = {(getattr(each, 'slice_index', 0), *each.coords) for each in devices} if tpu else devices
    cores = len(devices) // len(places)
    rates = (flops / cores, bandwidth / cores) if flops and bandwidth else (None, None)
    if told := _told(device):
        return Chip(told, 'as the device says', *rates)
    if memory:
        return Chip(int(memory * GIB) // cores, TPU_SOURCE if tpu else 'as its maker says', *rates)
    if tpu:
        raise InputError(f'the memory of a {device.device_kind} is not known here; name a topology of another TPU')
    # Devices that run on the host share its memory.
    whole = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return Chip(whole // len(devices), "its share of the host's memory", *rates)


def _told(device) -> int | None:
    """Bytes that a device which is here lets a program take."""
    try:
        return (device.memory_stats() or {}).get('bytes_limit')
    except RuntimeError:  # of an absent topology
        return None
