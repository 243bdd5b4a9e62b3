"""Bootstrap intervals over prompts.

Positions of one response depend on each other, so a resample draws whole prompts. A pooled mean over positions is the
ratio of two sums over prompts (of values, and of positions), which is all that a resample needs. Intervals are
percentile intervals of that ratio. Where all prompts agree no resample differs, so a share of single answers has
Wilson's interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

LEVEL = 0.95  # of every interval
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_Z = 1.959964  # normal quantile of a 95 % interval
_BLOCK = 4_000_000  # resample weights held at once


def resamples(prompts: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """How often each resample of the prompts draws each of them: blocks [b, P] of float64, `count` rows in all.

    The same for every call with the same arguments, so that runs compared on the same prompts share their draws.
    """
    rng = np.random.default_rng(seed)
    block = max(1, min(count, _BLOCK // max(prompts, 1)))
    for start in range(0, count, block):
        size = min(block, count - start)
        drawn = rng.integers(0, prompts, (size, prompts)) + prompts * np.arange(size)[:, None]
        yield np.bincount(drawn.reshape(-1), minlength=size * prompts).reshape(size, prompts).astype(np.float64)


def ratio_intervals(sums: np.ndarray, counts: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds [M] of the bootstrap intervals of sum(sums) / sum(counts), both [P, M], over the P prompts.

    NaN where fewer than two prompts have a count: one prompt says nothing about the spread between prompts.
    """
    prompts = len(sums)
    with np.errstate(invalid='ignore', divide='ignore'):
        ratios = [(w @ sums) / (w @ counts) for w in resamples(prompts, count, seed)] if prompts else []
    known = (counts > 0).sum(axis=0) >= 2
    bounds = np.full((2, sums.shape[1]), np.nan)
    if ratios and known.any():
        # A resample without any position of a group has no mean there; it is left out of that group alone.
        bounds[:, known] = np.nanquantile(np.concatenate(ratios)[:, known], TAILS, axis=0)
    return bounds[0], bounds[1]


def wilson(rate: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of independent trials (1927), which is not empty at 0 and 1."""
    spread = _Z * math.sqrt(rate * (1 - rate) / trials + _Z**2 / (4 * trials**2))
    middle, scale = rate + _Z**2 / (2 * trials), 1 + _Z**2 / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
