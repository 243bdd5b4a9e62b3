"""How well the base foresees texts, word by word: of the data's own answers, and of general text to hold them to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxshift.advise.words import CONTENT, SPECIFIC, STYLE, Word
from jaxshift.shift.intervals import TAILS, ratio_intervals, resamples

FORESEEN = 3  # base rank up to which a token is foreseen: the paper's bound of tokens that are not shifted
KINDS = (STYLE, CONTENT, SPECIFIC)


@dataclass(frozen=True)
class Reading:
    """A text as the base reads it.

    Attributes:
      words: of the text.
      kinds: one of `KINDS` for each word.
      logprobs: float [n], of each token, in nats.
      ranks: int [n], of each token, 1 is the likeliest.
    """

    words: Sequence[Word]
    kinds: Sequence[str]
    logprobs: np.ndarray
    ranks: np.ndarray

    def foreseen(self) -> tuple[int, int]:
        """How many specific words have no token of a rank above `FORESEEN`, and how many there are."""
        specific = [word for word, kind in zip(self.words, self.kinds, strict=True) if kind == SPECIFIC]
        return sum(int(self.ranks[word.start : word.stop].max()) <= FORESEEN for word in specific), len(specific)


def figures(readings: Sequence[Reading], seed: int, bootstrap: int) -> dict[str, Any]:
    """What the base foresees of some texts, with intervals over texts.

    Returns:
      texts; for each of `KINDS` words, tokens, loss (nats a token), first_choice and foreseen (percent of tokens of
      rank 1, and at most `FORESEEN`); specific_words_foreseen (percent of specific words all of whose tokens are). The
      last four with _interval, None where there is nothing to tell.
    """
    found: dict[str, Any] = {'texts': len(readings)}
    for kind in KINDS:
        own = [(each, _tokens_of(each, kind)) for each in readings]
        count = np.array([mask.sum() for _, mask in own], np.float64)
        sums = {
            'loss': [-each.logprobs[mask].sum() for each, mask in own],
            'first_choice': [100 * (each.ranks[mask] == 1).sum() for each, mask in own],
            'foreseen': [100 * (each.ranks[mask] <= FORESEEN).sum() for each, mask in own],
        }
        words = sum(found_kind == kind for each in readings for found_kind in each.kinds)
        found[kind] = {'words': words, 'tokens': int(count.sum())} | _ratios(sums, count, seed, bootstrap)
    hits = np.array([each.foreseen() for each in readings], np.float64).reshape(-1, 2)
    return found | _ratios({'specific_words_foreseen': 100 * hits[:, 0]}, hits[:, 1], seed, bootstrap)


def relative(data: Sequence[Reading], general: Sequence[Reading], seed: int, bootstrap: int) -> dict[str, Any]:
    """How many times as many specific words are foreseen of the data as of general text.

    Returns:
      share, and interval: texts of both are resampled, apart. None where a side has no specific word, or none of
      general text is foreseen.
    """
    ours, theirs = (np.array([each.foreseen() for each in side], np.float64).reshape(-1, 2) for side in (data, general))
    totals = ours.sum(0), theirs.sum(0)
    if not (totals[0][1] and totals[1].all()):
        return {'share': None, 'interval': None}
    share = (totals[0][0] / totals[0][1]) / (totals[1][0] / totals[1][1])
    draws = []
    for number, side in enumerate((ours, theirs)):
        drawn = np.concatenate([weights @ side for weights in resamples(len(side), bootstrap, seed + number)])
        with np.errstate(invalid='ignore', divide='ignore'):
            draws.append(drawn[:, 0] / drawn[:, 1])
    with np.errstate(invalid='ignore', divide='ignore'):
        ratios = draws[0] / draws[1]
    ratios = ratios[np.isfinite(ratios)]
    interval = np.quantile(ratios, TAILS).tolist() if len(ratios) else None
    return {'share': float(share), 'interval': interval}


def _tokens_of(reading: Reading, kind: str) -> np.ndarray:
    """Which tokens belong to words of a kind, bool [n]."""
    mask = np.zeros(len(reading.ranks), bool)
    for word, own in zip(reading.words, reading.kinds, strict=True):
        mask[word.start : word.stop] = own == kind
    return mask


def _ratios(sums: dict, count: np.ndarray, seed: int, bootstrap: int) -> dict[str, Any]:
    totals = np.array(list(sums.values()), np.float64).reshape(len(sums), -1).T
    low, high = ratio_intervals(totals, np.repeat(count[:, None], len(sums), 1), bootstrap, seed)
    found: dict[str, Any] = {}
    for index, name in enumerate(sums):
        found[name] = float(totals[:, index].sum() / count.sum()) if count.sum() else None
        found[f'{name}_interval'] = None if np.isnan(low[index]) else [float(low[index]), float(high[index])]
    return found
