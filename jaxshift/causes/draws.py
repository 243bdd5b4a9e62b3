"""Means over the cases of many prompts, with bootstrap intervals over these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxshift.shift.intervals import ratio_intervals

Figures = dict[str, Any]


@dataclass(frozen=True)
class Draws:
    """How intervals and permutations are drawn.

    Attributes:
      prompt: int64 [responses], the number of the prompt of each.
      prompts: how many there are.
      bootstrap: resamples of them.
      seed: of these and of the permutations.
    """

    prompt: np.ndarray
    prompts: int
    bootstrap: int
    seed: int

    def compare(self, response: np.ndarray, values: Mapping[str, np.ndarray]) -> Figures:
        """Means over N cases with intervals: `response` [N] says whose they are, `values` [N] each what they show."""
        prompt, names = self.prompt[response], list(values)
        count = np.bincount(prompt, minlength=self.prompts).astype(np.float64)
        sums = np.stack([np.bincount(prompt, values[name], self.prompts) for name in names], axis=1)
        low, high = ratio_intervals(sums, np.tile(count[:, None], len(names)), self.bootstrap, self.seed)
        found: Figures = {'n': len(response), 'prompts': int((count > 0).sum())}
        for i, name in enumerate(names):
            bounds = None if np.isnan(low[i]) else [float(low[i]), float(high[i])]
            mean = float(sums[:, i].sum() / count.sum()) if len(response) else None
            found[name] = {'mean': mean, 'interval': bounds}
        return found

    def beside(self, response: np.ndarray, tuning: np.ndarray, null: np.ndarray) -> Figures:
        """The same for the tuning data, the null corpus, and their difference."""
        tuning, null = tuning.astype(np.float64), null.astype(np.float64)
        return self.compare(response, {'tuning': tuning, 'null': null, 'difference': tuning - null})
