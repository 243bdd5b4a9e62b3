"""A suffix array over rows of token ids: where, and how far, a text stands there verbatim. No match crosses rows.

Built by prefix doubling (Manber & Myers 1993) of the suffixes that are not told apart yet (Larsson & Sadakane 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_KEY_BITS = 62  # of an int64 that sorts


@dataclass(frozen=True)
class Suffixes:
    """An index of R rows with N tokens, their ends counted.

    Attributes:
      text: int32 [N], the rows behind each other, each followed by an end of its own: ends are 0 to R - 1, and a token
        is its id + R.
      order: int64 [N], where the suffixes of `text` begin, sorted.
      row: int32 [N], the row of each place of `text`.
      rows: R.
    """

    text: np.ndarray
    order: np.ndarray
    row: np.ndarray
    rows: int


@dataclass(frozen=True)
class Matches:
    """For each of P places of a text the longest piece that begins there and stands in the rows.

    Attributes:
      length: int32 [P], tokens; 0 where not even the first is found.
      low, high: int64 [P], the suffixes `order[low:high]` begin with that piece.
    """

    length: np.ndarray
    low: np.ndarray
    high: np.ndarray


def index(rows: Sequence[np.ndarray]) -> Suffixes:
    """Sorts all suffixes of `rows`, at least one, which hold token ids from 0. 5 million tokens take seconds."""
    lengths = np.array([len(row) for row in rows], np.int64)
    text = np.empty(int(lengths.sum()) + len(rows), np.int32)
    ends = np.cumsum(lengths + 1) - 1
    own = np.ones(len(text), bool)
    own[ends] = False
    if lengths.sum():
        text[own] = np.concatenate(rows)
        text[own] += len(rows)
    text[ends] = np.arange(len(rows))
    row = np.repeat(np.arange(len(rows), dtype=np.int32), lengths + 1)
    return Suffixes(text, _sorted(text), row, len(rows))


def _sorted(text: np.ndarray) -> np.ndarray:
    """Where the suffixes of a text begin, in order; something in every suffix must occur once in the text."""
    order, rank, depth = _first(text)
    count = len(text)
    slots = np.arange(count)  # of the suffixes that are not told apart from a neighbour
    while True:
        ranks = rank[order[slots]]
        alone = np.ones(len(slots), bool)
        alone[1:] = ranks[1:] != ranks[:-1]
        alone[:-1] &= ranks[1:] != ranks[:-1]
        slots = slots[~alone]
        if not len(slots):
            return order
        left = order[slots]
        # Their first `depth` tokens hold no end, or they would be alone, so `left + depth` is within the text.
        key = rank[left] * count + rank[left + depth]
        by_key = np.argsort(key)
        left, key = left[by_key], key[by_key]
        first = np.ones(len(slots), bool)
        first[1:] = key[1:] != key[:-1]
        order[slots] = left
        rank[left] = slots[np.maximum.accumulate(np.where(first, np.arange(len(slots)), 0))]
        depth *= 2


def _first(text: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Order and ranks of suffixes by as many tokens as one key holds, and how many these are.

    A rank is the place in the order of the first suffix that cannot be told apart.
    """
    bits = max(1, int(text.max(initial=0) + 1).bit_length())
    depth = max(1, _KEY_BITS // bits)
    key = np.zeros(len(text), np.int64)
    for ahead in range(depth):
        key <<= bits
        key[: max(0, len(text) - ahead)] |= text[ahead:].astype(np.int64) + 1
    order = np.argsort(key)
    key = key[order]
    first = np.ones(len(text), bool)
    first[1:] = key[1:] != key[:-1]
    rank = np.empty(len(text), np.int64)
    rank[order] = np.maximum.accumulate(np.where(first, np.arange(len(text)), 0))
    return order, rank, depth


def matches(found: Suffixes, texts: Sequence[np.ndarray], most: int = 0) -> Matches:
    """Searches the rows for every piece of every text.

    Args:
      found: the index.
      texts: token ids; P is the number of all their tokens, in order.
      most: pieces are no longer than that; 0: as long as the texts.
    """
    lengths = np.array([len(each) for each in texts], np.int64)
    tokens = np.concatenate([np.zeros(0, np.int64), *texts]).astype(np.int64) + found.rows
    room = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(tokens))
    if most:
        room = np.minimum(room, most)
    length = np.zeros(len(tokens), np.int32)
    low, high = np.zeros(len(tokens), np.int64), np.full(len(tokens), len(found.text))
    places, depth = np.flatnonzero(room > 0), 0
    while len(places):
        wanted = tokens[places + depth]
        start = _bound(found, depth, wanted, low[places], high[places])
        stop = _bound(found, depth, wanted + 1, start, high[places])
        there = stop > start
        places = places[there]
        low[places], high[places] = start[there], stop[there]
        depth += 1
        length[places] = depth
        places = places[room[places] > depth]
    high[length == 0] = 0
    return Matches(length, low, high)


def _bound(found: Suffixes, depth: int, wanted: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Within each interval the first suffix whose token at `depth` is not below the wanted one: binary searches."""
    low, high = low.copy(), high.copy()
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) // 2
        at = np.minimum(found.order[np.minimum(middle, len(found.order) - 1)] + depth, len(found.text) - 1)
        below = (found.text[at] < wanted) & (low < high)
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, middle)
    return low


def rows_of(found: Suffixes, low: int, high: int) -> np.ndarray:
    """The rows of `order[low:high]`, each once, in order."""
    return np.unique(found.row[found.order[low:high]])
