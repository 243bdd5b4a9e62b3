"""A permutation test of borrowing: were it chance, rows of tuning data and null corpus could change places."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from jaxshift.causes.spans import covered, under
from jaxshift.causes.suffixes import Matches, Suffixes, rows_of

PERMUTATIONS = 1000
_COMMON = 64  # rows above which a piece is in both corpora, however rows are dealt
_BLOCK = 4_000_000  # places, or rows, times permutations held at once


def p_value(
    corpora: tuple[Suffixes, Suffixes],
    pieces: tuple[Matches, Matches],
    prompt: np.ndarray,
    least: int,
    seed: int,
    count: int = PERMUTATIONS,
) -> float:
    """One-sided p of the number of tokens that spans of the first corpus cover beyond those of the second.

    A token is covered by a span of at least `least` tokens exactly where it lies in a piece of `least` tokens that is
    found, so it is enough to know the rows of those pieces. Rows of both corpora are dealt anew, and with them as many
    places where a piece can begin to each as before, or rows of another length would look like borrowing. So p holds
    the choice of rows to chance: it is exact where rows of both are alike by their making, as rows held out are.

    Args:
      corpora: indexes of the tuning data and of the null corpus.
      pieces: of both, `suffixes.matches` of at most `least` tokens.
      prompt: of `spans.echo`; pieces that stand in the own prompt do not count.
      least: tokens of the shortest span.
      seed: of the permutations.
      count: of them.
    """
    observed = sum(
        sign * int(covered(each.length, prompt, least).sum()) for sign, each in zip((1, -1), pieces, strict=True)
    )
    there = [(each.length >= least) & (prompt < least) for each in pieces]
    kept = under(there[0] | there[1], least)
    holding, piece = _holding(corpora, pieces, [each[kept] for each in there], kept)
    if not holding.shape[0]:
        return 1.0
    total = holding.sum(axis=1)
    sizes = np.concatenate([np.maximum(np.bincount(each.row) - least, 0) for each in corpora])  # each row has an end
    share, rng = sizes[: corpora[0].rows].sum(), np.random.default_rng(seed)
    reached, block = 0, max(1, _BLOCK // max(len(piece), len(sizes)))
    for start in range(0, count, block):
        size = min(block, count - start)
        first = np.zeros((len(sizes), size), np.float32)
        for column in range(size):
            first[:, column] = dealt(sizes, share, rng)
        inside = holding @ first
        difference = np.zeros(size, np.int64)
        for sign, found in ((1, inside > 0), (-1, inside < total[:, None])):
            begins = np.concatenate([found, np.zeros((1, size), bool), np.ones((1, size), bool)])[piece]
            difference += sign * under(begins, least).sum(axis=0)
        reached += int((difference >= observed).sum())
    return (1 + reached) / (1 + count)


def dealt(sizes: np.ndarray, share: int, rng: np.random.Generator) -> np.ndarray:
    """Rows that the first corpus gets, bool [rows]: at random, until their `sizes` make up `share`.

    The row that goes over it is of the first where more than half of it is needed, so that neither has too much.
    """
    order = rng.permutation(len(sizes))
    first = np.zeros(len(sizes), bool)
    first[order] = np.cumsum(sizes[order]) - sizes[order] / 2 <= share
    return first


def _holding(
    corpora: tuple[Suffixes, Suffixes], pieces: tuple[Matches, Matches], there: list[np.ndarray], kept: np.ndarray
) -> tuple[sparse.csr_array, np.ndarray]:
    """Which rows of both corpora hold each piece, [pieces, rows] of ones, and the piece of each kept place.

    Two numbers beyond the pieces stand for a place where none begins, and for one that is common.
    """
    low, high = ([bound[kept] for bound in bounds] for bounds in zip(*((m.low, m.high) for m in pieces), strict=True))
    # The suffixes that begin with a piece are its name; one that the first corpus lacks is named by the second's.
    name = np.where(there[0], low[0], len(corpora[0].text) + low[1])
    name[~(there[0] | there[1])] = -1
    names, place, piece = np.unique(name, return_index=True, return_inverse=True)
    none = int(names[:1].tolist() == [-1])
    place, piece = place[none:], piece - none
    bounds = [
        (start[place], np.where(each[place], ends[place], start[place]))
        for each, start, ends in zip(there, low, high, strict=True)
    ]
    many = sum(stop - start for start, stop in bounds) > _COMMON
    found, shift = [], 0
    for corpus, (start, stop) in zip(corpora, bounds, strict=True):
        size = np.where(many, 0, stop - start)
        owner = np.repeat(np.arange(len(place)), size)
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        found.append((owner, corpus.row[corpus.order[np.repeat(start, size) + within]] + shift))
        shift += corpus.rows
    common = np.zeros(len(place), bool)
    for number in np.flatnonzero(many):
        # One row may repeat itself. No place of a corpus is in two pieces, so all of this is one pass over it.
        held = [rows_of(corpus, *(end[number] for end in ends)) for corpus, ends in zip(corpora, bounds, strict=True)]
        rows = np.concatenate([held[0], held[1] + corpora[0].rows])
        common[number] = len(rows) > _COMMON
        if not common[number]:
            found.append((np.full(len(rows), number), rows))
    owner, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    held = sparse.csr_array((np.ones(len(owner), np.float32), (owner, rows)), (len(place), shift))
    held.sum_duplicates()
    held.data[:] = 1
    piece = np.append(np.where(common, len(place) + 1, np.arange(len(place))), len(place))[piece]  # -1: the last
    return held, piece
