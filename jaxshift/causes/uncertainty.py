"""Does the base's own uncertainty tell where tuning will shift it?

A predictor gives each position a score, known from the base alone: how unlikely its likeliest token is, or its entropy.
Positions are flagged from the highest score on; what is asked is how much of the shift has then been caught.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxshift.shift.curves import prompt_index
from jaxshift.shift.intervals import TAILS, resamples

COLUMNS = ('token_id', 'base_entropy', 'kl_tuned_base', 'shift_class', 'top_logprobs_base')
FLAGGED = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)  # shares of positions at which curves are given
HALF = 0.5  # a likeliest token below this probability leaves the base undecided


def figures(rows: pa.Table, bootstrap: int, seed: int, samples: int = 1) -> dict[str, Any]:
    """What each predictor catches.

    Args:
      rows: token records of one run and one choice of windows, with `COLUMNS`, example_id and position.
      bootstrap, seed: resamples of the prompts behind each interval.
      samples: responses of each prompt.

    Returns:
      positions, prompts, shifted and moved (positions that are shifted, and that are shifted or marginal); by
      predictor: auc of both (see `auc`), caught (see `caught`) of both and of the KL's sum at `FLAGGED`; and undecided:
      positions where the base's likeliest token has less than probability 1/2, their share, what they catch, and the
      share of them that is shifted.
    """
    prompt, prompts = prompt_index(rows, samples)
    surest = pc.list_element(rows['top_logprobs_base'], 0).to_numpy().astype(np.float64)
    label = np.asarray(rows['shift_class'].to_pylist(), dtype=object)
    targets = {'shifted': label == 'shifted', 'moved': label != 'unshifted'}
    caught_of = targets | {'kl': rows['kl_tuned_base'].to_numpy().astype(np.float64)}
    scores = {'base_probability': -surest, 'base_entropy': rows['base_entropy'].to_numpy().astype(np.float64)}
    return {
        'positions': len(surest),
        'prompts': prompts,
        **{name: int(target.sum()) for name, target in targets.items()},
        'predictors': {
            name: {
                'auc': {
                    target: with_interval(score, hit, prompt, prompts, bootstrap, seed)
                    for target, hit in targets.items()
                },
                'caught': {target: _listed(caught(score, amount)) for target, amount in caught_of.items()},
            }
            for name, score in scores.items()
        },
        'undecided': _undecided(np.exp(surest) < HALF, caught_of),
    }


def auc(score: np.ndarray, hit: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The probability that a position that is hit has a higher score than one that is not; ties count half.

    Args:
      score: [N].
      hit: [N] bool.
      weight: [N], how often each position counts; None: once.

    Returns:
      NaN where all or none are hit.
    """
    order, starts = _ties(score)
    return _auc(order, starts, hit, np.ones(len(score)) if weight is None else weight)


def with_interval(
    score: np.ndarray, hit: np.ndarray, prompt: np.ndarray, prompts: int, bootstrap: int, seed: int
) -> dict[str, Any]:
    """The AUC with its bootstrap interval over prompts; None where there is nothing to tell apart."""
    order, starts = _ties(score)
    value = _auc(order, starts, hit, np.ones(len(score)))
    if np.isnan(value):
        return {'value': None, 'interval': None}
    drawn = [_auc(order, starts, hit, w[prompt]) for block in resamples(prompts, bootstrap, seed) for w in block]
    known = np.array(drawn)[~np.isnan(drawn)]  # a resample may have drawn no position that is hit
    interval = np.quantile(known, TAILS).tolist() if prompts > 1 and len(known) else None
    return {'value': value, 'interval': interval}


def caught(score: np.ndarray, amount: np.ndarray, flagged: tuple[float, ...] = FLAGGED) -> np.ndarray:
    """The share of an amount [N] that lies in the positions of the highest scores, for each share of positions.

    Of positions with equal scores any may come first: the share is the mean over their orders. NaN without an amount.
    """
    if not len(score) or not amount.sum():
        return np.full(len(flagged), np.nan)
    order, starts = _ties(-score)
    ends = np.append(starts[1:], len(score))
    reached = np.append(0, np.cumsum(amount[order], dtype=np.float64)[ends - 1])
    return np.interp(flagged, np.append(0, ends) / len(score), reached / reached[-1])


def _undecided(flagged: np.ndarray, caught_of: Mapping[str, np.ndarray]) -> dict[str, Any]:
    found: dict[str, Any] = {'positions': int(flagged.sum()), 'share': _share(flagged.sum(), len(flagged))}
    found['caught'] = {name: _share(amount[flagged].sum(), amount.sum()) for name, amount in caught_of.items()}
    found['precision'] = {
        name: _share(caught_of[name][flagged].sum(), flagged.sum()) for name in ('shifted', 'moved')
    }  # fmt: skip
    return found


def _listed(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _ties(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of rising scores, and where in it each group of equal ones begins."""
    order = np.argsort(score, kind='stable')
    ordered = score[order]
    return order, np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(score)])


def _auc(order: np.ndarray, starts: np.ndarray, hit: np.ndarray, weight: np.ndarray) -> float:
    if not len(order):
        return np.nan
    weighted, yes = weight[order].astype(np.float64), hit[order]
    hits, others = (np.add.reduceat(np.where(side, weighted, 0), starts) for side in (yes, ~yes))
    below = np.cumsum(others) - others / 2
    pairs = hits.sum() * others.sum()
    return float(hits @ below / pairs) if pairs else np.nan
