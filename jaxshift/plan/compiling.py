"""Compiling a step, and what it takes on each device: memory as the compiler says, time as a roofline bounds it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Hashable
from dataclasses import dataclass

import jax
from jax.sharding import Mesh

from jaxshift.devices.chips import GIB, Chip
from jaxshift.plan import steps
from jaxshift.plan.steps import Step

_UNITS = {'K': 2**10, 'M': 2**20, 'G': GIB, 'T': 2**40}


@dataclass(frozen=True)
class Compiled:
    """A step that was compiled, or that the compiler refused for its memory.

    Attributes:
      step: what was compiled.
      arguments: bytes of its arguments on one device.
      temporaries: bytes of all else that it holds there; None where the compiler did not say.
      fits: whether both find room.
      compile_seconds: of tracing and compiling.
      seconds: least time of one call by the roofline; None where the peaks of the device are not known.
      bound: what bounds it, compute or memory.
    """

    step: Step
    arguments: int
    temporaries: int | None
    fits: bool
    compile_seconds: float
    seconds: float | None
    bound: str | None

    @property
    def total(self) -> int | None:
        return None if self.temporaries is None else self.arguments + self.temporaries


class Programs:
    """Compiles steps, each program once, however many runs share it."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Compiled] = {}

    def compiled(self, run: str, step: Step, mesh: Mesh, chip: Chip) -> Compiled:
        """A step of a run; says so where it has to be compiled."""
        key = self.key(step)
        if key not in self._found:
            print(f'compiling {step.name} of {run}: {step.shape}', file=sys.stderr, flush=True)
            self._found[key] = compiled(step, mesh, chip)
        return self._found[key]

    @staticmethod
    def key(step: Step) -> Hashable:
        """Names a program: its function, and shapes, layouts and settings of its arguments."""
        leaves, structure = jax.tree.flatten((step.arguments, step.options))
        return step.function, structure, tuple(leaves)

    def __len__(self) -> int:
        return len(self._found)


def compiled(step: Step, mesh: Mesh, chip: Chip) -> Compiled:
    """Compiles a step for the devices of a mesh, which need not be here."""
    arguments, begun = steps.device_bytes(step.arguments), time.perf_counter()
    try:
        with jax.set_mesh(mesh):
            memory = step.lower().compile().memory_analysis()
        kept = memory.output_size_in_bytes - memory.alias_size_in_bytes  # donated arguments take no more room
        temporaries = memory.temp_size_in_bytes + memory.generated_code_size_in_bytes + kept
        arguments = memory.argument_size_in_bytes
        fits = arguments + temporaries <= chip.memory
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        fits, total = False, _asked(str(error))
        temporaries = None if total is None else max(0, total - arguments)
    taken = time.perf_counter() - begun
    return Compiled(step, arguments, temporaries, fits, taken, *roofline(step, mesh, chip))


def _asked(message: str) -> int | None:
    """Bytes that a program needs, from the words in which libtpu refuses it."""
    found = re.search(r'Used ([\d.]+)([KMGT]) of|\(([\d.]+)([KMGT])\) exceeds', message)
    if not found:
        return None
    number, unit = [each for each in found.groups() if each]
    return int(float(number) * _UNITS[unit])


def roofline(step: Step, mesh: Mesh, chip: Chip) -> tuple[float | None, str | None]:
    """Least seconds of a call (Williams et al. 2009), and what bounds them.

    Compute: all matrix products, those of rematerialisation too, at the peak rate of all devices. Memory: what
    every device reads (`Step.reads`). Communication between devices is not counted.
    """
    if chip.flops is None or chip.bandwidth is None:
        return None, None
    compute = (step.flops + step.repeated) / (mesh.size * chip.flops)
    return max((compute, 'compute'), (step.reads / chip.bandwidth, 'memory'))
