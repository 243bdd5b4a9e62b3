"""Spans of responses that stand verbatim in a corpus, and which of them chance does not explain.

Arrays are over places: all tokens of all responses behind each other. `length` [P] is that of `suffixes.matches`, how
far the corpus goes along from each place, and `response` [P] the number of the response.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Span(NamedTuple):
    """Tokens `start` to `start + length` of all places; `excess` are those beyond the longest part found elsewhere."""

    start: int
    length: int
    excess: int


def echo(prompts: Sequence[np.ndarray], responses: Sequence[np.ndarray]) -> np.ndarray:
    """How far each response goes along with its own prompt from each place: int32 [P]."""
    return np.concatenate([np.zeros(0, np.int32), *map(_along, prompts, responses)])


def _along(prompt: np.ndarray, response: np.ndarray) -> np.ndarray:
    lengths, ahead = np.zeros(len(response), np.int32), np.zeros(len(prompt) + 1, np.int32)
    for place in reversed(range(len(response))):
        ahead[:-1] = np.where(prompt == response[place], ahead[1:] + 1, 0)
        lengths[place] = ahead.max()
    return lengths


def maximal(length: np.ndarray, response: np.ndarray, elsewhere: np.ndarray, least: int) -> list[Span]:
    """Spans of at least `least` tokens that no longer one holds.

    Args:
      length, response: see above.
      elsewhere: int32 [P], as `length`, where the same words would mean nothing: in another corpus, in the prompt.
      least: tokens.
    """
    begins = length >= least
    # A match that begins one place earlier and reaches as far holds this one.
    begins[1:] &= (length[:-1] <= length[1:]) | (response[:-1] != response[1:])
    found = []
    for start in np.flatnonzero(begins).tolist():
        size = int(length[start])
        part = np.minimum(elsewhere[start : start + size], size - np.arange(size)).max()
        found.append(Span(start, size, size - int(part)))
    return found


def covered(length: np.ndarray, prompt: np.ndarray, least: int) -> np.ndarray:
    """Places inside spans of at least `least` tokens: bool [P]. Such as stand in the own prompt (`echo`) are none."""
    return under((length >= least) & (prompt < least), least)


def under(begins: np.ndarray, size: int) -> np.ndarray:
    """Places within `size` tokens from a beginning on: bool, of the shape of `begins` [P, ...]."""
    count = np.zeros((len(begins) + size, *begins.shape[1:]), np.int32)
    count[: len(begins)] += begins
    count[size:] -= begins
    return np.cumsum(count, axis=0)[: len(begins)] > 0


def chance(targets: Sequence[int], decoys: Sequence[int]) -> dict[int, float]:
    """For each excess above 0 the share of chance that is expected among targets of that excess and more: a q-value.

    Target-decoy competition (Elias & Gygi 2007) in the form that controls the false discovery rate (knockoff+, Barber &
    Candes 2015): were two corpora alike, an excess would lie on either side equally often, so those on the other side
    count the chance ones on this: (1 + decoys) / targets. An excess has the least share of any that is not above it.
    """
    found, least = {}, 1.0
    for excess in sorted({each for each in targets if each > 0}):
        alike, kept = (sum(each >= excess for each in side) for side in (decoys, targets))
        found[excess] = least = min(least, (1 + alike) / kept)
    return found
