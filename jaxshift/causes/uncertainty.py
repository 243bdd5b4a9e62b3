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

from jaxshift.causes.draws import Draws
from jaxshift.shift.curves import prompt_index
from jaxshift.shift.intervals import TAILS, ratio_intervals, resamples

COLUMNS = ('token_id', 'base_entropy', 'kl_tuned_base', 'shift_class', 'top_logprobs_base')
FLAGGED = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)  # shares of positions at which curves are given
HITS = ('shifted', 'moved')  # amounts that a position has or has not
HALF = 0.5  # a likeliest token below this probability leaves the base undecided


def figures(rows: pa.Table, bootstrap: int, seed: int, samples: int = 1) -> dict[str, Any]:
    """What each predictor catches.

    Args:
      rows: token records of one run and one choice of windows, with `COLUMNS`, example_id and position.
      bootstrap, seed: resamples of the prompts behind each interval.
      samples: responses of each prompt.

    Returns:
      positions, prompts, shifted and moved (positions that are shifted, and that are shifted or marginal); by
      predictor what `predictor` gives for both and for the sum of the KL; and undecided: positions where the base's
      likeliest token has less than probability 1/2, with their share, what they catch, and precision, the share of
      them that is shifted, each with its interval.
    """
    draws = Draws(*prompt_index(rows, samples), bootstrap, seed)
    surest = pc.list_element(rows['top_logprobs_base'], 0).to_numpy().astype(np.float64)
    label = np.asarray(rows['shift_class'].to_pylist(), dtype=object)
    targets = {'shifted': label == 'shifted', 'moved': label != 'unshifted'}
    amounts = targets | {'kl': rows['kl_tuned_base'].to_numpy().astype(np.float64)}
    scores = {'base_probability': -surest, 'base_entropy': rows['base_entropy'].to_numpy().astype(np.float64)}
    return {
        'positions': len(surest),
        'prompts': draws.prompts,
        **{name: int(target.sum()) for name, target in targets.items()},
        'predictors': {name: predictor(score, amounts, draws) for name, score in scores.items()},
        'undecided': _undecided(np.exp(surest) < HALF, amounts, draws),
    }


def predictor(score: np.ndarray, amounts: Mapping[str, np.ndarray], draws: Draws) -> dict[str, Any]:
    """How well one score [N] ranks the positions of `draws`. A resample of the prompts ranks its own positions anew.

    Args:
      score: [N].
      amounts: by name, what each position carries, [N]; those of `HITS` are bool.
      draws: of the prompts.

    Returns:
      auc of `HITS` (see `auc`), and caught of every amount at each of `FLAGGED` (see `caught`): values with their
      intervals; None where there is nothing to tell.
    """
    order, starts = ties(score)
    carried = np.stack([np.ones(len(score)), *amounts.values()])[:, order]
    owner, names = draws.prompt[order], list(amounts)

    def measured(weight: np.ndarray) -> np.ndarray:
        total, *sums = np.add.reduceat(weight * carried, starts, axis=1)
        areas = [auc(total, sums[names.index(name)]) for name in HITS]
        return np.concatenate([areas, *(caught(total, each) for each in sums)])

    values = measured(np.ones(len(score)))
    bounds = np.full((2, len(values)), np.nan)
    if draws.prompts > 1 and (known := ~np.isnan(values)).any():
        weights = (each for block in resamples(draws.prompts, draws.bootstrap, draws.seed) for each in block)
        drawn = np.stack([measured(each[owner]) for each in weights])
        bounds[:, known] = np.nanquantile(drawn[:, known], TAILS, axis=0)  # some may have drawn no position that is hit
    found = map(_figure, values, *bounds)
    return {
        'auc': {name: next(found) for name in HITS},
        'caught': {name: [next(found) for _ in FLAGGED] for name in names},
    }


def ties(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of rising scores [N], and where in it each group of equal ones begins [G]."""
    order = np.argsort(score, kind='stable')
    ordered = score[order]
    return order, np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(score)])


def auc(total: np.ndarray, hits: np.ndarray) -> float:
    """The probability that a position that is hit has a higher score than one that is not; ties count half.

    Args:
      total, hits: [G], how many positions have each score, from the lowest on, and how many of these are hit.

    Returns:
      NaN where all or none are hit.
    """
    others = total - hits
    below = np.cumsum(others) - others / 2
    pairs = hits.sum() * others.sum()
    return float(hits @ below / pairs) if pairs else np.nan


def caught(total: np.ndarray, amount: np.ndarray, flagged: tuple[float, ...] = FLAGGED) -> np.ndarray:
    """The share of an amount that lies in the positions of the highest scores, for each share of positions.

    Of positions with equal scores any may come first: the share is the mean over their orders.

    Args:
      total, amount: [G], how many positions have each score, from the lowest on, and what these carry together.
      flagged: shares of positions.

    Returns:
      NaN where there is no amount.
    """
    seen, reached = (np.append(0, np.cumsum(each[::-1])) for each in (total, amount))
    return np.interp(flagged, seen / seen[-1], reached / reached[-1]) if reached[-1] else np.full(len(flagged), np.nan)


def _undecided(flagged: np.ndarray, amounts: Mapping[str, np.ndarray], draws: Draws) -> dict[str, Any]:
    """Shares of sums: what the flagged positions are of all, hold of all, and hold of themselves."""
    everywhere = np.ones(len(flagged))
    parts = [(flagged, everywhere), *((flagged * each, each) for each in amounts.values())]
    parts += [(flagged * amounts[name], flagged) for name in HITS]
    sums, wholes = (
        np.stack([np.bincount(draws.prompt, each, draws.prompts) for each in side], axis=1)
        for side in zip(*parts, strict=True)
    )
    with np.errstate(invalid='ignore'):
        values = sums.sum(axis=0) / wholes.sum(axis=0)
    bounds = ratio_intervals(sums, wholes, draws.bootstrap, draws.seed)
    share, *found = map(_figure, values, *bounds)
    return {
        'positions': int(flagged.sum()),
        'share': share,
        'caught': dict(zip(amounts, found, strict=False)),
        'precision': dict(zip(HITS, found[len(amounts) :], strict=True)),
    }


def _figure(value: float, low: float, high: float) -> dict[str, Any]:
    known = None if np.isnan(low) else [float(low), float(high)]
    return {'value': None if np.isnan(value) else float(value), 'interval': known}
