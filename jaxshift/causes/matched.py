"""Runs held against each other where they are alike: at one training loss, or at one KL, between their checkpoints.

At one learning rate two methods may be optimised to different degrees, so what differs may be the degree. A trajectory
is the points of one run in the order of training, the base first; between two checkpoints everything is taken to change
linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from jaxshift.shift.intervals import TAILS, resamples

Point = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a trajectory reaches a level: a share `part` of the way from one point to the next.

    `first` and `second` are these points' numbers.
    """

    first: int
    second: int
    part: float

    def between(self, points: Sequence[Point], key: str) -> float | None:
        """A figure there; None where one of the two points lacks it."""
        one, other = points[self.first].get(key), points[self.second].get(key)
        return None if one is None or other is None else (1 - self.part) * one + self.part * other


def reach(points: Sequence[Point], key: str, level: float) -> Place | None:
    """Where the figure `key` comes to a level for the first time; None where it never does."""
    for second, (one, other) in enumerate(pairwise(points), start=1):
        begin, end = one[key], other[key]
        if min(begin, end) <= level <= max(begin, end):
            return Place(second - 1, second, 0.0 if begin == end else (level - begin) / (end - begin))
    return None


def deepest(one: Sequence[Point], other: Sequence[Point], key: str) -> float:
    """The level of a figure that is farthest along and that both trajectories reach.

    Of a figure whose name ends in `loss`, which training lowers, it is the greater of their least ones; of any other,
    which it raises, as a KL, the less of their greatest. What a trajectory does the other way, as a loss that runs
    away, does not count.
    """
    sides = [[point[key] for point in points] for points in (one, other)]
    if key.endswith('loss'):
        return max(min(values) for values in sides)
    return min(max(values) for values in sides)


def ratio(
    full: tuple[Sequence[Point], Place], lora: tuple[Sequence[Point], Place], bootstrap: int, seed: int
) -> tuple[float, float, float]:
    """Mean KL of one run over that of another at their places, with its bootstrap interval over prompts.

    Points have `kl_sums` and `positions`, a number for each prompt, of the same prompts in both runs. A resample draws
    the same prompts for both; the places stay.

    Returns:
      The ratio and its bounds; NaN bounds where there are fewer than two prompts.
    """
    sides = [_sums(points, place) for points, place in (full, lora)]
    prompts = len(sides[0][0])

    def of(weight: np.ndarray) -> np.ndarray:
        (kl, n), (other_kl, other_n) = sides
        with np.errstate(invalid='ignore', divide='ignore'):
            return (weight @ kl) / (weight @ n) / ((weight @ other_kl) / (weight @ other_n))

    value = float(of(np.ones(prompts)))
    if prompts < 2:
        return value, np.nan, np.nan
    drawn = np.concatenate([of(weight) for weight in resamples(prompts, bootstrap, seed)])
    low, high = np.nanquantile(drawn, TAILS)
    return value, float(low), float(high)


def _sums(points: Sequence[Point], place: Place) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the KL by prompt, and their positions: the windows of all checkpoints of a run are the same."""
    one, other = points[place.first], points[place.second]
    zero = np.zeros(len(other['positions']))  # the base has no KL to itself
    kl = (1 - place.part) * np.asarray(one.get('kl_sums', zero)) + place.part * np.asarray(other['kl_sums'])
    return kl, np.asarray(other['positions'], np.float64)
