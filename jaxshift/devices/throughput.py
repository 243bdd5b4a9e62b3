"""How fast training goes, what share of the devices' peak that is, and a trace of where the time goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import jax

from jaxshift.devices.chips import chip

WARM_UP = 1  # steps that are not traced: the first one compiles
TRACED = 3  # steps


class Meter:
    """Speed between two logged steps."""

    def __init__(self, devices: Sequence):
        peak = chip(devices).flops
        self._peak = None if peak is None else peak * len(devices)
        self.restart()

    def restart(self) -> None:
        """Begins to measure anew."""
        self._begun, self._tokens, self._flops = time.perf_counter(), 0.0, 0.0

    def add(self, tokens: float, flops: float) -> None:
        """A finished step: its trained tokens, and the FLOPs of the model in it."""
        self._tokens += tokens
        self._flops += flops

    def read(self) -> dict[str, float | None]:
        """tokens_per_second (trained ones), mfu and peak_memory_bytes.

        mfu (model FLOPs utilisation, Chowdhery et al. 2022) is a share of the bfloat16 peak of all devices; None where
        that is not known. peak_memory_bytes is that of this process's fullest device since the process began; None
        where the backend does not tell.
        """
        taken = time.perf_counter() - self._begun
        mfu = None if self._peak is None else self._flops / (taken * self._peak)
        return {'tokens_per_second': self._tokens / taken, 'mfu': mfu, 'peak_memory_bytes': _peak_memory()}


def _peak_memory() -> int | None:
    told = [(device.memory_stats() or {}).get('peak_bytes_in_use') for device in jax.local_devices()]
    return max((each for each in told if each is not None), default=None)


class Trace:
    """Writes a trace of a few training steps, for TensorBoard's profiler or Perfetto."""

    def __init__(self, folder: Path | None):
        """`folder` takes the trace; None: nothing is traced."""
        self._folder, self._steps, self._running = folder, 0, False

    def before(self) -> None:
        """Call before each step."""
        if self._folder is not None and self._steps == WARM_UP:
            jax.profiler.start_trace(self._folder)
            self._running = True

    def after(self, made) -> None:
        """Call after each step, with the arrays that it makes."""
        self._steps += 1
        if self._running and self._steps == WARM_UP + TRACED:
            self.close(made)

    def close(self, made=None) -> None:
        """Ends the trace, if one is running, when the arrays are there."""
        if self._running:
            jax.block_until_ready(made)
            jax.profiler.stop_trace()
            self._running = False
