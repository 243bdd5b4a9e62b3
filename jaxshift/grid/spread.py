"""Means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from jaxshift.shift.intervals import LEVEL

WORDS = "95 % intervals over seeds by Student's t"


@dataclass(frozen=True)
class Spread:
    """A mean over `seeds` values; `low` and `high` bound its interval, None of fewer than two values."""

    mean: float
    low: float | None
    high: float | None
    seeds: int

    def columns(self, name: str) -> dict[str, float | None]:
        """As columns of a table: the mean under its name, and the bounds behind it."""
        return {name: self.mean, f'{name}_low': self.low, f'{name}_high': self.high}


def spread(values: Sequence[float | None]) -> Spread | None:
    """The mean of the values that are there, with Student's interval; None of none."""
    there = np.array([value for value in values if value is not None], np.float64)
    if not len(there):
        return None
    mean = float(there.mean())
    if len(there) < 2:
        return Spread(mean, None, None, 1)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(there) - 1) * there.std(ddof=1) / np.sqrt(len(there)))
    return Spread(mean, mean - reach, mean + reach, len(there))


def geometric(values: Sequence[float | None]) -> Spread | None:
    """The same of ratios, in logarithms, so that a ratio and its inverse agree; those not above 0 do not count."""
    found = spread([float(np.log(value)) if value and value > 0 else None for value in values])
    if found is None:
        return None
    bounds = [None if bound is None else float(np.exp(bound)) for bound in (found.low, found.high)]
    return Spread(float(np.exp(found.mean)), bounds[0], bounds[1], found.seeds)
