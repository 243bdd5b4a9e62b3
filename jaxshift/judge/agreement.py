"""How far two judges of the same responses agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from jaxshift.judge.judgement import Judgement
from jaxshift.judge.scores import aspects_of


def agreement(one: Sequence[Judgement], other: Sequence[Judgement]) -> list[dict[str, Any]]:
    """One row an aspect that both have scores of: `aspect`, `responses` scored by both, `kappa`, `spearman`, `mean_one`
    and `mean_other`; a figure is None where it is not defined, as where a judge gives one score to all.
    """
    others = {each.example_id: each.scores for each in other}
    rows = []
    for aspect in aspects_of(one):
        pairs = [(each.scores.get(aspect), others.get(each.example_id, {}).get(aspect)) for each in one]
        both = np.array([pair for pair in pairs if None not in pair], dtype=np.float64).reshape(-1, 2)
        if len(both):
            a, b = both.T
            rows.append({
                'aspect': aspect, 'responses': len(both), 'kappa': kappa(a, b), 'spearman': spearman(a, b),
                'mean_one': float(a.mean()), 'mean_other': float(b.mean()),
            })  # fmt: skip
    return rows


def kappa(a: np.ndarray, b: np.ndarray) -> float | None:
    """Cohen's kappa with quadratic weights (Cohen 1968) of scores [N] and [N]: 1 - E (a - b)^2 / E' (a - b)^2, where E'
    pairs every a with every b. Squares need no categories, so expected scores such as 3.7 may come in too.
    """
    by_chance = float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    return 1 - float(((a - b) ** 2).mean()) / by_chance if by_chance else None


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation, ties at their mean rank."""
    return None if np.ptp(a) == 0 or np.ptp(b) == 0 else float(stats.spearmanr(a, b).statistic)


def alpha(ratings: np.ndarray) -> float | None:
    """Krippendorff's alpha of nominal ratings (Krippendorff 2011): 1 - observed over expected disagreement.

    Args:
      ratings: [annotators, units] of numbers that name categories; NaN where nobody said anything. Units that fewer
        than two rated do not count.

    Returns:
      None where no unit counts, or all ratings are one category.
    """
    rated = ratings[:, (~np.isnan(ratings)).sum(0) >= 2]
    counts = np.stack([(rated == value).sum(0) for value in np.unique(rated[~np.isnan(rated)])] or [np.zeros(0)])
    of_unit, of_category, total = counts.sum(0), counts.sum(1), counts.sum()
    if not total:
        return None
    observed = float(((of_unit**2 - (counts**2).sum(0)) / (of_unit - 1)).sum() / total)
    expected = float((total**2 - (of_category**2).sum()) / (total * (total - 1)))
    return 1 - observed / expected if expected else None
