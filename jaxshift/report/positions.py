"""Token records as columns of an island: small, and as exact as a reader needs.

Measures are coded on a logarithmic scale, within 1 % or 0.001 of the record (see `Code`). Of the likeliest tokens those
below `LEAST` are left out, a fifth of all in a chat model, whose ids cost as much as those of the others; the first one
always stays. Tokens are numbered anew, the most frequent first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jaxshift.report.islands import Column
from jaxshift.shift.classes import CLASSES

LEAST = 2e-3  # probability of a token that a list keeps
NOWHERE = 255  # place of a token that the other list has not


class Code(NamedTuple):
    """round(scale · ln(1 + per · |value|)): relative steps of 1 / scale, and absolute ones below 1 / per."""

    dtype: str
    scale: int
    per: int

    def of(self, values: np.ndarray) -> np.ndarray:
        """Of values that all have the same sign, or are zero."""
        exact = self.scale * np.log1p(self.per * np.abs(np.asarray(values, np.float64)))
        return np.minimum(np.round(exact), np.iinfo(self.dtype).max).astype(self.dtype)


CODES = {
    'kl': Code('uint16', 64, 1000),
    'entropy': Code('uint16', 64, 100),
    'logprob': Code('uint16', 64, 16),
}
COLUMNS = (
    'token_id', 'shift_class', 'base_rank', 'emitted_base_rank', 'emitted_tuned_rank', 'base_logprob',
    'emitted_base_logprob', 'emitted_tuned_logprob', 'kl_tuned_base', 'base_entropy', 'tuned_entropy',
    'top_ids_base', 'top_logprobs_base', 'top_ids_tuned', 'top_logprobs_tuned',
)  # fmt: skip


class Lists(NamedTuple):
    """The likeliest tokens of a model, [P, k] each: ids, half codes of their log-probabilities, and which are kept."""

    ids: np.ndarray
    codes: np.ndarray
    kept: np.ndarray


def lists(rows: pa.Table, model: str) -> Lists:
    """Those of 'base' or 'tuned'."""
    ids, logprobs = (_matrix(rows[f'top_{name}_{model}']) for name in ('ids', 'logprobs'))
    kept = logprobs >= np.log(LEAST)
    kept[:, :1] = True
    kept[:, NOWHERE:] = False
    return Lists(ids, _half(CODES['logprob'].of(logprobs)), kept)


def used(rows: pa.Table) -> np.ndarray:
    """All token ids that the columns of `columns` refer to."""
    both = [each.ids[each.kept] for each in (lists(rows, 'base'), lists(rows, 'tuned'))]
    return np.concatenate([rows['token_id'].to_numpy(), *both])


def numbered(ids: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The token ids of a page, the most frequent first, and an array from token id to its place among them."""
    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *ids]))
    tokens = np.argsort(-counts, kind='stable')[: np.count_nonzero(counts)]
    places = np.zeros(len(counts), np.int64)
    places[tokens] = np.arange(len(tokens))
    return tokens, places


def columns(rows: pa.Table, places: np.ndarray) -> Mapping[str, Column]:
    """The columns of `COLUMNS` for the positions of `rows` [P], which app/records.js reads.

    `token`, `emitted_rank` and `emitted_base` are differences (modulo their dtype) to the first tuned token, the rank
    and the code of the base's log-probability of the tuned model's first choice, `emitted_tuned_rank` is one less than
    the rank: zero wherever that choice was emitted. Of lists there are the lengths [P], and their items one after the
    other: the base's tokens and the steps of their codes, the first from `base`; of the tuned model's tokens the places
    in what is left of the base's list, else `NOWHERE` and a number in `tuned_new`; their codes as steps from that in
    the base's list, or else from the one before, the first from `emitted_tuned`. Codes in lists are halves of those of
    `CODES`.
    """
    base, tuned = lists(rows, 'base'), lists(rows, 'tuned')
    where = _where(base, tuned)
    found = where < NOWHERE
    beside = np.take_along_axis(base.codes, np.where(found, where, 0), axis=1)
    logprob = CODES['logprob'].of(_column(rows, 'base_logprob'))
    emitted_tuned = CODES['logprob'].of(_column(rows, 'emitted_tuned_logprob'))
    # What is kept of a list comes first in it, because it is sorted.
    steps = np.where(found, tuned.codes - beside, _steps(tuned.codes, emitted_tuned))
    steps[:, 0] = tuned.codes[:, 0] - _half(emitted_tuned)
    rank = _column(rows, 'base_rank').astype(np.uint32)
    return {
        'token': _smallest(places[_column(rows, 'token_id')] - places[tuned.ids[:, 0]]),
        'class': np.array([CLASSES.index(name) for name in rows['shift_class'].to_pylist()], np.uint8),
        'rank': _smallest(rank),
        'emitted_rank': _smallest(_column(rows, 'emitted_base_rank').astype(np.int64) - rank),
        'emitted_tuned_rank': _smallest(_column(rows, 'emitted_tuned_rank') - 1),
        'kl': CODES['kl'].of(_column(rows, 'kl_tuned_base')),
        'base_entropy': CODES['entropy'].of(_column(rows, 'base_entropy')),
        'tuned_entropy': CODES['entropy'].of(_column(rows, 'tuned_entropy')),
        'base': logprob,
        'emitted_base': CODES['logprob'].of(_column(rows, 'emitted_base_logprob')) - logprob,
        'emitted_tuned': emitted_tuned,
        'base_count': base.kept.sum(axis=1).astype(np.uint8),
        'base_tokens': _smallest(places[base.ids[base.kept]]),
        'base_steps': _steps(base.codes, logprob)[base.kept],
        'tuned_count': tuned.kept.sum(axis=1).astype(np.uint8),
        'tuned_where': _among_left(where)[tuned.kept],
        'tuned_new': _smallest(places[tuned.ids[tuned.kept & ~found]]),
        'tuned_steps': steps[tuned.kept],
    }


def _where(base: Lists, tuned: Lists) -> np.ndarray:
    """The place of each tuned token among the kept ones of the base, uint8 [P, k]."""
    where = np.full(tuned.ids.shape, NOWHERE, np.uint8)
    for place in range(base.ids.shape[1]):
        here = (tuned.ids == base.ids[:, place : place + 1]) & base.kept[:, place : place + 1]
        where[here] = place
    return where


def _among_left(where: np.ndarray) -> np.ndarray:
    """Places among those that no token before has taken: nothing but zeros where the order is the same."""
    before = [(where[:, :column] < where[:, column : column + 1]).sum(axis=1) for column in range(where.shape[1])]
    return np.where(where < NOWHERE, where - np.stack(before, axis=1), NOWHERE).astype(np.uint8)


def _half(codes: np.ndarray) -> np.ndarray:
    """Codes of a coarser scale, whose numbers are two digits of a probability."""
    return np.minimum(codes >> 1, 255).astype(np.uint8)


def _steps(codes: np.ndarray, first: np.ndarray) -> np.ndarray:
    """From one code to the next, modulo 256; the first from that of a token which mostly is the first."""
    return np.diff(codes, axis=1, prepend=_half(first)[:, None])


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    values = pa.concat_arrays([chunk.flatten() for chunk in column.chunks]).to_numpy()
    return values.reshape(len(column), -1)


def _column(rows: pa.Table, name: str) -> np.ndarray:
    return rows[name].to_numpy()


def _smallest(values: np.ndarray) -> np.ndarray:
    """As uint16 where all fit, else uint32; negative ones modulo 2³²."""
    fit = not len(values) or (values.min() >= 0 and values.max() < 1 << 16)
    return values.astype(np.uint16 if fit else np.uint32)
