"""Runs held against each other by one judge: differences between scores of the same prompt.

The unit is a prompt that was judged for both runs; samples of it are averaged first. Four figures for each pair of
runs and each aspect:

- the mean difference, with a bootstrap interval over prompts (both runs of a prompt are drawn together);
- Wilcoxon's signed-rank test, two-sided, with Pratt's treatment of zeros (Pratt 1959): prompts of equal score, of which
  scores from 1 to 5 have many, take part in the ranking. Up to EXACT prompts p comes from all 2^n sign changes, which
  holds with ties; above, from the normal approximation corrected for them;
- Holm's adjustment of p (Holm 1979) over all aspects and pairs that are reported together;
- the difference at equal length: the intercept of a least-squares line of the score difference on the difference of log
  lengths. It is the idea of length-controlled AlpacaEval (Dubois et al., arXiv 2404.04475), which predicts a preference
  at length difference zero by logistic regression; scores have differences, so the line is straight, and lengths are
  tokens of one tokenizer. A line cannot tell what length does by itself from what makes both long and good.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from jaxshift.judge.judgement import Judgement
from jaxshift.judge.scores import aspects_of
from jaxshift.respond.responses import prompt_of
from jaxshift.shift import intervals

EXACT = 13  # prompts, up to which all sign changes are enumerated
_FLAT = 1e-9  # variance of log lengths below which there is no line


class Judged(NamedTuple):
    """One prompt of one run: its mean score by aspect, and the mean of log(1 + tokens) of its responses."""

    scores: dict[str, float]
    log_length: float


def by_prompt(
    judgements: Sequence[Judgement], responses: Mapping[str, Mapping[str, Any]], samples: int = 1
) -> dict[tuple, Judged]:
    """The judged prompts of a run, by id and tokens, because another file may use the same ids.

    Args:
      judgements: by one judge.
      responses: objects of responses.jsonl by example id; a judgement without one is passed over.
      samples: responses of each prompt.
    """
    together: dict[tuple, list[Judgement]] = {}
    for each in judgements:
        if row := responses.get(each.example_id):
            key = prompt_of(each.example_id, samples), tuple(row['prompt_token_ids'])
            together.setdefault(key, []).append(each)
    found = {}
    for key, group in together.items():
        known: dict[str, list[float]] = {}
        for each in group:
            for aspect, score in each.scores.items():
                if score is not None:
                    known.setdefault(aspect, []).append(score)
        lengths = [math.log1p(len(responses[each.example_id]['token_ids'])) for each in group]
        found[key] = Judged({aspect: float(np.mean(values)) for aspect, values in known.items()},
                            float(np.mean(lengths)))  # fmt: skip
    return found


def compare(
    judgements: Mapping[str, Sequence[Judgement]],
    responses: Mapping[str, Mapping[str, Mapping[str, Any]]],
    samples: int = 1,
    bootstrap: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row for each pair of runs and each aspect that both have scores of: the first run minus the second.

    Args:
      judgements: by run, of one judge.
      responses: by run, then example id: objects of responses.jsonl.
      samples: responses of each prompt.
      bootstrap, seed: resamples of the prompts, and where they begin.

    Returns:
      Rows with `aspect`, `first`, `second`; `prompts` judged for both, `only_first` and `only_second` for one alone;
      `difference`, `wilcoxon_p`, `holm_p`, `at_equal_length` and their `_low` and `_high`; `slope`, score by a unit of
      log length; `log_length_difference`, its mean; `extrapolated`, whether one run is the longer one on every prompt,
      so that no prompt is near equal length. None where there is no such figure.
    """
    aspects = aspects_of([each for found in judgements.values() for each in found])
    prompts = {run: by_prompt(found, responses[run], samples) for run, found in judgements.items()}
    rows: list[dict[str, Any]] = []
    for first, second in itertools.combinations(prompts, 2):
        for aspect in aspects:
            ours, theirs = ({k: p for k, p in prompts[run].items() if aspect in p.scores} for run in (first, second))
            both = [key for key in ours if key in theirs]
            if both:
                score = np.array([ours[key].scores[aspect] - theirs[key].scores[aspect] for key in both])
                length = np.array([ours[key].log_length - theirs[key].log_length for key in both])
                alone = {'only_first': len(ours) - len(both), 'only_second': len(theirs) - len(both)}
                names = {'aspect': aspect, 'first': first, 'second': second, 'prompts': len(both)}
                rows.append(names | alone | _figures(score, length, bootstrap, seed))
    adjusted = holm([row['wilcoxon_p'] for row in rows])
    return [{**row, 'holm_p': p} for row, p in zip(rows, adjusted, strict=True)]


def _figures(score: np.ndarray, length: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
    low, high = intervals.ratio_intervals(score[:, None], np.ones((len(score), 1)), bootstrap, seed)
    return {
        'difference': float(score.mean()),
        'difference_low': _number(low[0]),
        'difference_high': _number(high[0]),
        'wilcoxon_p': wilcoxon(score),
        **at_equal_length(score, length, bootstrap, seed),
    }


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided p of the signed-rank test; 1 where all differences are zero."""
    if not differences.any():
        return 1.0
    exact = len(differences) <= EXACT
    method = stats.PermutationMethod(n_resamples=2**EXACT + 1) if exact else 'asymptotic'
    return float(stats.wilcoxon(differences, zero_method='pratt', method=method).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p: of the i-th smallest of m (from 0) it is (m - i) p, at least that of the smaller ones, at most 1."""
    adjusted, so_far = [0.0] * len(p_values), 0.0
    for i, place in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        so_far = max(so_far, min(1.0, (len(p_values) - i) * p_values[place]))
        adjusted[place] = so_far
    return adjusted


def at_equal_length(score: np.ndarray, length: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
    """The line of score differences [P] on differences of log lengths [P], at length difference zero."""
    figures: dict[str, Any] = dict.fromkeys(('at_equal_length', 'at_equal_length_low', 'at_equal_length_high', 'slope'))
    intercept, slope = _line(np.ones((1, len(score))), score, length)
    if not np.isnan(intercept[0]):
        drawn = np.concatenate([_line(w, score, length)[0] for w in intervals.resamples(len(score), bootstrap, seed)])
        # A resample of one prompt again and again has no line; with three prompts and more they are few.
        low, high = np.nanquantile(drawn, intervals.TAILS) if len(score) > 2 else (math.nan, math.nan)
        figures = {
            'at_equal_length': float(intercept[0]),
            'at_equal_length_low': _number(low),
            'at_equal_length_high': _number(high),
            'slope': float(slope[0]),
        }
    return figures | {
        'log_length_difference': float(length.mean()),
        'extrapolated': bool((length > 0).all() or (length < 0).all()),
    }


def _line(weights: np.ndarray, score: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts and slopes [b] of weighted least squares, weights [b, P]; NaN where all lengths are one."""
    total = weights.sum(axis=1)
    x, y = weights @ length / total, weights @ score / total
    variance = weights @ length**2 / total - x**2
    with np.errstate(invalid='ignore', divide='ignore'):
        slope = np.where(variance > _FLAT, (weights @ (length * score) / total - x * y) / variance, np.nan)
    return y - slope * x, slope


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
