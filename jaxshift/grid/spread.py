"""Means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from jaxshift.shift.intervals import LEVEL

WORDS = "95 % intervals over seeds by Student's t, of shares no narrower than so few questions allow"


@dataclass(frozen=True)
class Spread:
    """A mean over `seeds` values; `low` and `high` bound its interval, None of fewer than two values."""

    mean: float
    low: float | None
    high: float | None
    seeds: int

    def within(self, least: float, most: float) -> Spread:
        """The same of a measure that cannot be less or more."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, least), high=min(self.high, most))

    def columns(self, name: str) -> dict[str, float | None]:
        """As columns of a table: the mean under its name, and the bounds behind it."""
        return {name: self.mean, f'{name}_low': self.low, f'{name}_high': self.high}


def spread(values: Sequence[float | None], questions: Sequence[float | None] = ()) -> Spread | None:
    """The mean of the values that are there, with Student's interval; None of none.

    Args:
      values: one a seed.
      questions: where values are shares, or differences of shares, on how many questions each was measured. Seeds that
        agree by chance, as they do near 0 and 1, are then taken to vary as shares of so few questions must.
    """
    counts = questions or [None] * len(values)
    known = [(value, count) for value, count in zip(values, counts, strict=True) if value is not None]
    there = np.array([value for value, _ in known], np.float64)
    if not len(there):
        return None
    mean = float(there.mean())
    if len(there) < 2:
        return Spread(mean, None, None, 1)
    least = np.mean([_variance(value, count) if count else 0.0 for value, count in known])
    variance = max(there.var(ddof=1), least)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(there) - 1) * np.sqrt(variance / len(there)))
    return Spread(mean, mean - reach, mean + reach, len(there))


def _variance(share: float, questions: float) -> float:
    """Of a share, and the least of a difference of shares; by Laplace's rule it is not 0 at 0 and 1."""
    shrunk = (questions * abs(share) + 1) / (questions + 2)
    return shrunk * (1 - shrunk) / questions


def geometric(values: Sequence[float | None]) -> Spread | None:
    """The same of ratios, in logarithms, so that a ratio and its inverse agree; those not above 0 do not count."""
    found = spread([float(np.log(value)) if value and value > 0 else None for value in values])
    if found is None:
        return None
    bounds = [None if bound is None else float(np.exp(bound)) for bound in (found.low, found.high)]
    return Spread(float(np.exp(found.mean)), bounds[0], bounds[1], found.seeds)
