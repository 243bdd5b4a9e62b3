"""Shift classes: how far down the base ranks the token that the tuned model prefers."""

from __future__ import annotations

import numpy as np

CLASSES = ('unshifted', 'marginal', 'shifted')


def codes(base_rank: np.ndarray, marginal_above: int = 1, shifted_above: int = 3) -> np.ndarray:
    """Indices into `CLASSES`, int8, of the shape of `base_rank` (1-based ranks).

    By default as in Lin et al. (arXiv 2312.01552): rank 1 is unshifted, 2 and 3 are marginal, above 3 is shifted.

    Raises:
      ValueError: when the thresholds are not 1 <= marginal_above <= shifted_above, or a rank is below 1.
    """
    rank = np.asarray(base_rank)
    if not 1 <= marginal_above <= shifted_above:
        raise ValueError(f'class thresholds {marginal_above}, {shifted_above}: need 1 <= marginal <= shifted')
    if rank.size and rank.min() < 1:
        raise ValueError(f'base rank {rank.min()}: ranks start at 1')
    return (rank > marginal_above).astype(np.int8) + (rank > shifted_above).astype(np.int8)
