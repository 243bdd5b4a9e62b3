"""How well the base foresees texts, word by word: of the data's own answers, and of general text to hold them to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

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
    """How far the data's specific words are foreseen, held to general text: 1 is as far, 0 not at all.

    With g the share of general text's specific words that are foreseen, an answer with n such words, of which h are
    foreseen, counts min(h, g n): what is easier than general text does not make up for what is unknown. The sum over
    answers is divided by what it would be were each word foreseen with probability g.

    Returns:
      share, and interval: texts of both are resampled, apart. None where a side has no specific word, or none of
      general text is foreseen.
    """
    ours, theirs = (np.array([each.foreseen() for each in side], np.float64).reshape(-1, 2) for side in (data, general))
    if not (ours[:, 1].sum() and theirs.sum(0).all()):
        return {'share': None, 'interval': None}
    drawn = [
        np.concatenate(list(resamples(len(side), bootstrap, seed + number)))
        for number, side in enumerate((ours, theirs))
    ]  # fmt: skip
    totals = drawn[1] @ theirs
    rates = totals[:, 0] / np.maximum(totals[:, 1], 1)
    known = rates > 0
    shares = _share(ours, rates[known], drawn[0][known])
    (share,) = _share(ours, theirs[:, :1].sum(0) / theirs[:, 1].sum(), np.ones((1, len(ours))))
    return {'share': float(share), 'interval': np.nanquantile(shares, TAILS).tolist() if known.any() else None}


def _share(texts: np.ndarray, rates: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share [b] of `relative` for general rates [b]; texts [P, 2] of foreseen and all words, weights [b, P]."""
    hits, words = texts.T
    counted = (weights * np.minimum(hits, rates[:, None] * words)).sum(1)
    expected = (weights * expected_least(words, rates[:, None])).sum(1)
    with np.errstate(invalid='ignore'):  # a resample without a word says nothing
        return counted / np.where(expected > 0, expected, np.nan)


def expected_least(n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """E min(X, n p) of a binomial X: n p less half of its mean absolute deviation, by De Moivre's formula."""
    m = np.floor(n * p)
    return n * p - (1 - p) ** (n - m) * p ** (m + 1) * (m + 1) * special.comb(n, m + 1)


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
