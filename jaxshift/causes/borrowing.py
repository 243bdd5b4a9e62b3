"""Borrowing: what of the responses stands verbatim in the tuning data, beside a null corpus of equal size.

Any common phrase stands in any corpus, so every figure has its twin for rows that no run trained on, and the difference
with a bootstrap interval over prompts. Arrays over places are as in `spans`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from jaxshift.causes import exchange, spans, suffixes
from jaxshift.causes.draws import Figures
from jaxshift.causes.search import RATE, Search
from jaxshift.shift.classes import CLASSES

NGRAMS = (1, 2, 3)
_RARITIES = ('common', 'between', 'rare')


def overlap(search: Search) -> Figures:
    """Shares of tokens inside spans (`covered`, with its permutation p) and of n-grams that a corpus holds."""
    lengths = [each.length for each in search.matches]
    inside = [spans.covered(length, search.echo, search.least) for length in lengths]
    room = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(text), 0, -1) for text in search.texts)])
    grams = {
        str(size): search.draws.beside(search.response[room >= size], *(each[room >= size] >= size for each in lengths))
        for size in NGRAMS
    }
    return {'covered': search.draws.beside(search.response, *inside) | {'p': _p(search, search.least)}, 'ngrams': grams}


def _p(search: Search, least: int) -> float:
    """Of the tokens inside spans of at least `least` tokens, by exchanging rows."""
    pieces = [suffixes.matches(corpus, search.texts, least) for corpus in search.corpora]
    return exchange.p_value(search.corpora, (pieces[0], pieces[1]), search.echo, least, search.draws.seed)


def strata(search: Search, p: float) -> list[Figures]:
    """Spans in a thousand tokens by their length and by their rarity, the mean -log frequency of their tokens.

    `p` of a length is that of the tokens inside spans that are at least as long; `p` given is that of all spans.
    """
    bounds = [search.least, math.ceil(1.5 * search.least), 2 * search.least, 4 * search.least]
    names = [f'{low} to {high - 1} tokens' for low, high in pairwise(bounds)] + [f'{bounds[-1]} tokens and more']
    lengths = [np.array([span.length for span in side]) for side in search.spans]
    rarity = _rarity(search)
    thirds = np.quantile(np.concatenate(rarity), [1 / 3, 2 / 3]) if any(map(len, rarity)) else np.zeros(2)
    by_length, by_rarity = _sorted_into(np.array(bounds[1:]), lengths), _sorted_into(thirds, rarity)
    chances = [p, *(_p(search, bound) for bound in bounds[1:])]
    found = [
        {'by': 'length', **_stratum(search, name, by_length, number), 'p': chances[number]}
        for number, name in enumerate(names)
    ]
    return found + [
        {'by': 'rarity', **_stratum(search, name, by_rarity, number), 'p': None}
        for number, name in enumerate(_RARITIES)
    ]


def _sorted_into(edges: np.ndarray, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The number of the part between edges that each value is in."""
    return [(each[:, None] >= edges).sum(axis=1) for each in values]


def _rarity(search: Search) -> list[np.ndarray]:
    """Mean -log frequency of the tokens of each span of both corpora, nats; frequencies are those of all texts."""
    counts = np.bincount(search.tokens)
    for corpus in search.corpora:
        counts = _added(counts, np.bincount(corpus.text[corpus.text >= corpus.rows] - corpus.rows))
    sums = np.concatenate([[0.0], np.cumsum(-np.log(counts[search.tokens] / counts.sum()))])
    return [np.array([(sums[s.start + s.length] - sums[s.start]) / s.length for s in side]) for side in search.spans]


def _stratum(search: Search, name: str, groups: Sequence[np.ndarray], number: int) -> Figures:
    rates = []
    for side, group in zip(search.spans, groups, strict=True):
        starts = np.array([span.start for span in side], np.int64)[group == number]
        rates.append(1000 * np.bincount(starts, minlength=len(search.tokens)))
    return {'stratum': name, **search.draws.beside(search.response, *rates)}


def shifted_spans(search: Search, classes: np.ndarray) -> dict[str, Figures]:
    """Shares of classes among tokens of borrowed spans, of all spans of the tuning data, and outside of these.

    Args:
      search: the responses.
      classes: int [P], of `classes.CLASSES`.
    """
    inside = search.places(search.spans[0])
    chosen = {'borrowed': search.places(search.borrowed), 'spans': inside, 'elsewhere': ~inside}
    return {
        name: search.draws.compare(search.response[where], _shares(classes[where])) for name, where in chosen.items()
    }


def _shares(classes: np.ndarray) -> dict[str, np.ndarray]:
    shares = {name: (classes == number).astype(np.float64) for number, name in enumerate(CLASSES)}
    return shares | {'shifted_or_marginal': 1.0 - shares['unshifted']}


def words(
    search: Search, begun: Sequence[tuple[int, str]], classes: np.ndarray, vocabularies: tuple[set[str], set[str]]
) -> dict[str, Figures]:
    """By class of the token that a word begins in: the share of words that a corpus has.

    Args:
      search: the responses.
      begun: of each word the place where it begins, and the word.
      classes: int [P].
      vocabularies: the words of both corpora.
    """
    place = np.array([at for at, _ in begun], np.int64)
    there = [np.array([word in known for _, word in begun], bool) for known in vocabularies]
    chosen = {name: classes[place] == number for number, name in enumerate(CLASSES)}
    chosen['shifted_or_marginal'] = ~chosen['unshifted']
    return {
        name: search.draws.beside(search.response[place[where]], *(each[where] for each in there))
        for name, where in chosen.items()
    }


def called(search: Search) -> Figures:
    """How many spans are called borrowed, and by which rule."""
    inside = search.places(search.borrowed).astype(np.float64)
    return {
        'rate': RATE,
        'suspected': len(search.suspected),
        'by_chance': sum(excess > 0 for excess in search.phrases[1].values()),
        'least_chance': min(search.chance.values(), default=None),
        'phrases': len({search.phrase(span) for span in search.borrowed}),
        'spans': len(search.borrowed),
        'of_tokens': search.draws.compare(search.response, {'share': inside}),
    }


def _added(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    total = np.zeros(max(len(one), len(other)), np.int64)
    total[: len(one)] += one
    total[: len(other)] += other
    return total
