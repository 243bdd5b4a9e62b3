"""Kinds seen in one sample alone, at samples of one size: who looks more often sees more.

Rarefaction (Hurlbert, Ecology 52, 1971): of a sample of N things, in which a kind stands x times, a draw of n without
replacement holds that kind with probability 1 - C(N - x, n) / C(N, n).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import gammaln


def shared(one: Mapping[int, int], other: Mapping[int, int]) -> tuple[float, float, float, int]:
    """The kinds expected in both samples, in the first alone and in the other alone, and the size of both.

    The larger sample is drawn down to the size of the smaller.

    Args:
      one, other: kind -> how often it stands in a sample, above 0.
    """
    size = min(sum(one.values()), sum(other.values()))
    kinds = sorted(one.keys() | other.keys())
    first, second = (
        _present(np.array([each.get(kind, 0) for kind in kinds], np.float64), size) for each in (one, other)
    )
    return (
        float((first * second).sum()),
        float((first * (1 - second)).sum()),
        float((second * (1 - first)).sum()),
        size,
    )


def _present(counts: np.ndarray, size: int) -> np.ndarray:
    """The probability [k] that a draw of `size` of these holds each kind."""
    left = counts.sum() - counts
    absent = np.exp(_ways(np.maximum(left, size), size) - _ways(np.array(counts.sum()), size))
    return np.where(left < size, counts > 0, 1 - absent)


def _ways(total: np.ndarray, size: int) -> np.ndarray:
    """log C(total, size)."""
    return gammaln(total + 1) - gammaln(size + 1.0) - gammaln(total - size + 1)
