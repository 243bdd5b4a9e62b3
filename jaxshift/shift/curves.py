"""Means over groups of positions (by place in the response, by place in the sentence), pooled, with their intervals."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxshift.respond.responses import prompt_of
from jaxshift.shift.intervals import TAILS, ratio_intervals, resamples

SENTENCE_RULE = (
    'ends after . ! ? … (or 。！？) with closing quotes and blanks, or a newline; no abbreviations or decimals'
)
START_RULE = 'the first 5 % of the tokens, rounded to the nearest with halves up, at least one'
BINS = 20  # of the relative position
START_PERCENT = 5  # of a sentence's tokens are its start

_QUOTES = '"\'”’»)\\]」』'
_ENDS = re.compile(rf'[.!?。！？…][{_QUOTES}]*\s*$|\n')
_ONLY_ENDS = re.compile(rf'^[.!?。！？…{_QUOTES}\n\r\t]+[ ]*$')

Pieces = Sequence[str] | Mapping[int, str]


@dataclass(frozen=True)
class Curve:
    """Pooled means of groups of positions; all arrays are [G], float64, NaN where there is nothing to tell.

    `low` and `high` bound the interval, `at` is the group's place on the axis, `n` its number of positions and
    `prompts` the number of prompts they come from.
    """

    at: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    prompts: np.ndarray


def response_index(table: pa.Table) -> tuple[np.ndarray, list[str]]:
    """For each row the number of its response in the order of sorted example ids, and these ids."""
    ids = pa.concat_arrays(table['example_id'].chunks or [pa.array([], pa.string())]).dictionary_encode()
    names = np.asarray(ids.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return rank[ids.indices.to_numpy(zero_copy_only=False)], names[order].tolist()


def prompt_of_response(names: Sequence[str], samples: int) -> tuple[np.ndarray, int]:
    """The number of the prompt of each response, in order of appearance, and how many prompts there are."""
    prompts = [prompt_of(name, samples) for name in names]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(prompts))}
    return np.array([numbers[name] for name in prompts], np.int64), len(numbers)


def prompt_index(table: pa.Table, samples: int) -> tuple[np.ndarray, int]:
    """For each row the number of its prompt in the order of sorted ids, and how many prompts there are."""
    response, names = response_index(table)
    prompt, prompts = prompt_of_response(names, samples)
    return prompt[response], prompts


def in_order(table: pa.Table) -> pa.Table:
    """The rows sorted by response, then by position."""
    response, _ = response_index(table)
    return table.take(np.lexsort((table['position'].to_numpy(), response)))


def grouped(
    values: np.ndarray, group: np.ndarray, at: np.ndarray, prompt: np.ndarray, prompts: int, count: int, seed: int
) -> Curve:
    """The curve of `values` [N] over their groups [N], indices into `at` [G]; prompts resampled `count` times."""
    cell = prompt * len(at) + group
    shape = (prompts, len(at))
    sums = np.bincount(cell, np.asarray(values, np.float64), prompts * len(at)).reshape(shape)
    counts = np.bincount(cell, minlength=prompts * len(at)).reshape(shape).astype(np.float64)
    low, high = ratio_intervals(sums, counts, count, seed)
    n = counts.sum(axis=0)
    mean = np.divide(sums.sum(axis=0), n, out=np.full(len(at), np.nan), where=n > 0)
    return Curve(np.asarray(at), mean, low, high, n.astype(np.int64), (counts > 0).sum(axis=0))


def by_position(table: pa.Table, column: str, bootstrap: int = 1000, seed: int = 0, samples: int = 1) -> Curve:
    """The mean of a column at each absolute position of the response, 0-based.

    Late positions come from long responses alone; `n` says from how many. `samples`: responses of each prompt.
    """
    prompt, prompts = prompt_index(table, samples)
    position = table['position'].to_numpy()
    at = np.arange(position.max(initial=-1) + 1)
    return grouped(table[column].to_numpy(), position, at, prompt, prompts, bootstrap, seed)


def by_relative_position(
    table: pa.Table, column: str, bootstrap: int = 1000, seed: int = 0, samples: int = 1, bins: int = BINS
) -> Curve:
    """The mean of a column in equal parts of the response; `at` is the middle of each part, in (0, 1).

    Position t of n lies at (t + 1/2) / n, so a response of fewer than `bins` tokens reaches some parts only.
    The table holds each response once: one run, context, template and context length. `samples`: see `by_position`.
    """
    prompt, prompts = prompt_index(table, samples)
    response, _ = response_index(table)
    position = table['position'].to_numpy().astype(np.int64)
    length = np.bincount(response)[response]
    part = np.minimum((2 * position + 1) * bins // (2 * length), bins - 1)
    at = (np.arange(bins) + 0.5) / bins
    return grouped(table[column].to_numpy(), part, at, prompt, prompts, bootstrap, seed)


def sentence_starts(table: pa.Table, pieces: Pieces, end_ids: Collection[int] = ()) -> np.ndarray:
    """Which rows [N] lie in the first 5 % of the tokens of their sentence.

    A sentence ends after a token whose text (`pieces[token_id]`) ends with . ! ? (or 。！？…), closing quotes or
    brackets and blanks allowed after it, or contains a newline; tokens that are nothing but such marks and follow it
    still belong to it. No rule for abbreviations or decimals: "3", ".", "14" is cut after the point. An end token
    (`end_ids`) begins no sentence but belongs to the last one, and counts among its tokens; take its rows out of the
    table to leave it out. 5 % of n tokens are rounded to the nearest whole number, halves up, and are at least one:
    1 token up to 29, 2 up to 49, 3 up to 69.

    The rows stand in the order of `in_order`.
    """
    tokens = table['token_id'].to_numpy()
    if not len(tokens):
        return np.zeros(0, bool)
    used, inverse = np.unique(tokens, return_inverse=True)
    texts = [pieces[int(token)] for token in used]
    is_end = np.isin(used, list(end_ids))
    closes = np.array([bool(_ENDS.search(text)) for text in texts])[inverse]
    joins = (np.array([bool(_ONLY_ENDS.search(text)) for text in texts]) | is_end)[inverse]
    first = table['position'].to_numpy() == 0
    response, _ = response_index(table)
    first[0] = True
    first[1:] |= response[1:] != response[:-1]
    # Marks that join a closed sentence leave it closed: look back to the last token that is more than such a mark.
    last = np.maximum.accumulate(np.where(joins & ~closes & ~first, 0, np.arange(len(tokens))))
    begins = first.copy()
    begins[1:] |= closes[last][:-1] & ~joins[1:]
    sentence = np.cumsum(begins) - 1
    lengths = np.bincount(sentence)
    place = np.arange(len(tokens)) - np.flatnonzero(begins)[sentence]
    return place < np.maximum(1, (START_PERCENT * lengths + 50) // 100)[sentence]


def ratio(
    numerator: pa.Table, denominator: pa.Table, column: str, bootstrap: int, seed: int, samples: int = 1
) -> tuple[float, ...]:
    """Pooled mean of a column in one run over that in another, its interval, and the number of shared prompts.

    Only responses that both tables hold count, and each resample draws the same prompts, of `samples` each, for both.
    """
    shared = np.intersect1d(numerator['example_id'].to_numpy(), denominator['example_id'].to_numpy())
    if not len(shared):
        return np.nan, np.nan, np.nan, 0
    means, draws = [], []
    for table in (numerator, denominator):
        table = table.filter(pc.is_in(table['example_id'], pa.array(shared, pa.string())))
        prompt, prompts = prompt_index(table, samples)
        sums = np.bincount(prompt, table[column].to_numpy().astype(np.float64), prompts)
        counts = np.bincount(prompt, minlength=prompts).astype(np.float64)
        means.append(sums.sum() / counts.sum())
        draws.append(np.concatenate([(w @ sums) / (w @ counts) for w in resamples(prompts, bootstrap, seed)]))
    with np.errstate(invalid='ignore', divide='ignore'):
        low, high = np.nanquantile(draws[0] / draws[1], TAILS) if prompts > 1 else (np.nan, np.nan)
        return float(np.divide(*means)), float(low), float(high), prompts
