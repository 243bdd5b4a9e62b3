"""How often a run's responses are preferred to another's, by a judge that has read both in both orders.

Only a verdict that both orders give is one. A judge that changes its mind with the order has shown a bias of position
(Zheng et al., arXiv 2306.05685), and says nothing about the responses: 'inconsistent' is counted, and is no tie.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from jaxshift.respond.responses import prompt_of
from jaxshift.shift import intervals

_WORTH = {'win': 1.0, 'tie': 0.5, 'loss': 0.0}
RESULTS = (*_WORTH, 'inconsistent', 'unjudged')


def figures(
    results: Sequence[tuple[str, str]], samples: int = 1, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """What the results of one run against another come to.

    Args:
      results: example id and one of RESULTS, for the run.
      samples: responses of each prompt.
      bootstrap, seed: resamples of the prompts, and where they begin.

    Returns:
      `counts` by RESULTS; `win_rate`, wins and half the ties among consistent verdicts, with its `interval` over
      prompts; `sign_p`, two-sided, of the sign test over prompts that were won and lost (those of several samples by
      their mean). None where there is no such figure.
    """
    worth: dict[str, list[float]] = {}
    for name, result in results:
        if result in _WORTH:
            worth.setdefault(prompt_of(name, samples), []).append(_WORTH[result])
    sums, counts = np.array([[sum(each), len(each)] for each in worth.values()], np.float64).reshape(-1, 2).T
    low, high = intervals.ratio_intervals(sums[:, None], counts[:, None], bootstrap, seed)
    won, lost = int((sums > counts / 2).sum()), int((sums < counts / 2).sum())
    ended = Counter(result for _, result in results)
    return {
        'counts': {name: ended[name] for name in RESULTS},
        'prompts': len(worth),
        'win_rate': float(sums.sum() / counts.sum()) if worth else None,
        'interval': None if math.isnan(low[0]) else [float(low[0]), float(high[0])],
        'sign_p': float(stats.binomtest(won, won + lost).pvalue) if won + lost else None,
    }
