"""Borrowing: what of the responses stands verbatim in the tuning data, beside a null corpus of equal size.

Any common phrase stands in any corpus, so every figure has its twin for rows that no run trained on, and the difference
with a bootstrap interval over prompts. Arrays over places are as in `spans`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from jaxshift.causes import exchange, spans, suffixes
from jaxshift.causes.draws import Figures
from jaxshift.causes.search import RATE, Search
from jaxshift.causes.spans import Span
from jaxshift.shift.classes import CLASSES

NGRAMS = (1, 2, 3)
_RARITIES = ('common', 'between', 'rare')


def overlap(search: Search) -> Figures:
    """Shares of tokens inside spans (`covered`, with its permutation p) and of n-grams that a corpus holds."""
    lengths = [each.length for each in search.matches]
    inside = [spans.covered(length, search.echo, search.least) for length in lengths]
    pieces = [suffixes.matches(corpus, search.texts, search.least) for corpus in search.corpora]
    p = exchange.p_value(search.corpora, (pieces[0], pieces[1]), search.echo, search.least, search.draws.seed)
    room = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(text), 0, -1) for text in search.texts)])
    grams = {
        str(size): search.draws.beside(search.response[room >= size], *(each[room >= size] >= size for each in lengths))
        for size in NGRAMS
    }
    return {'covered': search.draws.beside(search.response, *inside) | {'p': p}, 'ngrams': grams}


def strata(search: Search) -> list[Figures]:
    """Spans in a thousand tokens by their length and by their rarity, the mean -log frequency of their tokens."""
    counts = np.bincount(search.tokens)
    for corpus in search.corpora:
        tokens = corpus.text[corpus.text >= corpus.rows] - corpus.rows
        counts = _added(counts, np.bincount(tokens))
    surprise = -np.log(counts[search.tokens] / counts.sum())
    sums = np.concatenate([[0.0], np.cumsum(surprise)])
    rarity = [np.array([(sums[s.start + s.length] - sums[s.start]) / s.length for s in side]) for side in search.spans]
    thirds = np.quantile(np.concatenate(rarity), [1 / 3, 2 / 3]) if any(map(len, rarity)) else np.zeros(2)
    edges = np.array([1.5, 2, 4]) * search.least
    names = [f'{low} to {high - 1} tokens' for low, high in pairwise([search.least, *np.ceil(edges).astype(int)])]
    names.append(f'{int(np.ceil(edges[-1]))} tokens and more')
    length = [np.array([span.length for span in side]) for side in search.spans]
    found = []
    for by, labels, groups in (
        ('length', names, [np.searchsorted(np.ceil(edges), each, side='right') for each in length]),
        ('rarity', _RARITIES, [np.searchsorted(thirds, each, side='right') for each in rarity]),
    ):
        for number, label in enumerate(labels):
            rates = [
                1000 * _marked(len(search.tokens), side, group == number)
                for side, group in zip(search.spans, groups, strict=True)
            ]
            found.append({'by': by, 'stratum': label, **search.draws.beside(search.response, *rates)})
    return found


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


def _marked(size: int, found: Sequence[Span], chosen: np.ndarray) -> np.ndarray:
    """How many of the chosen spans begin at each place."""
    starts = np.array([span.start for span in found], np.int64)
    return np.bincount(starts[chosen] if len(starts) else starts, minlength=size)


def _added(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    total = np.zeros(max(len(one), len(other)), np.int64)
    total[: len(one)] += one
    total[: len(other)] += other
    return total
