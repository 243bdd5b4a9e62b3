"""What both sides of a comparison share: how a repetition is timed, and the plain matmul rate beside it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

REPETITIONS = 5
MATMUL = (2048, 576, 1536)  # rows, inputs, outputs: a projection of SmolLM2


def seconds(work: Callable[[], object]) -> float:
    """Median seconds of one call, after one that is not counted; `work` must wait for its result."""
    work()
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def report(work: Callable[[], object], matmul: Callable[[], object]) -> None:
    """Prints the timings of a task and of a plain matmul, as the last line of the process."""
    rows, inputs, outputs = MATMUL
    took = seconds(work)
    flops = 2 * rows * inputs * outputs
    print(json.dumps({'seconds': took, 'matmul_gflops': flops / seconds(matmul) / 1e9}))
