"""Token records as columns of an island: small, and as exact as a reader needs.

Measures are coded on a logarithmic scale (see `Code`): KL, entropies and differences of log-probabilities within 1 %
or 0.001 nats, probabilities of 1 % and more within 1 % of themselves, smaller ones within 3 % down to one in a million,
and those in lists within 10 %. Of the likeliest tokens those below `LEAST` are left out, a fifth of all in a chat
model, whose ids cost as much as those of the others; the first one always stays. Tokens are numbered anew, the most
frequent first.
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
        """Of values whose signs do not matter."""
        exact = self.scale * np.log1p(self.per * np.abs(np.asarray(values, np.float64)))
        return np.minimum(np.round(exact), np.iinfo(self.dtype).max).astype(self.dtype)

    def read(self, codes: np.ndarray) -> np.ndarray:
        """The values behind codes, float64."""
        return np.expm1(codes / self.scale) / self.per


CODES = {
    'kl': Code('uint16', 64, 1000),
    'entropy': Code('uint16', 64, 100),
    'logprob': Code('uint16', 260, 4),
    'delta': Code('uint16', 260, 4),
    'listed': Code('uint8', 32, 16),
}
COLUMNS = (
    'token_id', 'shift_class', 'base_rank', 'emitted_base_rank', 'emitted_tuned_rank', 'base_logprob',
    'emitted_base_logprob', 'emitted_tuned_logprob', 'kl_tuned_base', 'base_entropy', 'tuned_entropy',
    'top_ids_base', 'top_logprobs_base', 'top_ids_tuned', 'top_logprobs_tuned',
)  # fmt: skip


class Lists(NamedTuple):
    """The likeliest tokens of a model, [P, k] each: ids, codes of their log-probabilities, and which are kept."""

    ids: np.ndarray
    codes: np.ndarray
    kept: np.ndarray


def lists(rows: pa.Table, model: str) -> Lists:
    """Those of 'base' or 'tuned'."""
    ids, logprobs = (_matrix(rows[f'top_{name}_{model}']) for name in ('ids', 'logprobs'))
    kept = logprobs >= np.log(LEAST)
    kept[:, :1] = True
    kept[:, NOWHERE:] = False
    return Lists(ids, CODES['listed'].of(logprobs), kept)


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


class Emitted(NamedTuple):
    """What both models give the tokens of responses, [P] each.

    The greater log-probability and the difference are coded, because either alone is near zero at most positions, and
    since the likelier model then is as exact as can be; the nats are those that a reader of the codes finds.
    """

    likelier: np.ndarray
    delta: np.ndarray
    base_nats: np.ndarray
    tuned_nats: np.ndarray


def emitted(rows: pa.Table) -> Emitted:
    """Of the tokens of `rows`; a difference has twice its code, and one more where the base is the likelier one."""
    base, tuned = -_column(rows, 'emitted_base_logprob'), -_column(rows, 'emitted_tuned_logprob')
    likelier, moved = CODES['logprob'].of(np.minimum(base, tuned)), CODES['delta'].of(base - tuned)
    negative = (base < tuned) & (moved > 0)
    near, further = CODES['logprob'].read(likelier), CODES['delta'].read(moved)
    return Emitted(
        likelier, 2 * moved + negative, near + np.where(negative, 0, further), near + np.where(negative, further, 0)
    )


def columns(rows: pa.Table, places: np.ndarray) -> Mapping[str, Column]:
    """The columns of `COLUMNS` for the positions of `rows` [P], which app/records.js reads.

    `token` and `emitted_rank` are differences (modulo their dtype) to the first tuned token and the base's rank of it,
    `emitted_tuned_rank` is one less than the rank: zero wherever that first choice was emitted. So is `base`, the code
    of the base's log-probability of the first choice, which there is that of the emitted token (see `emitted`). Of
    lists there are the lengths [P], and their items one after the other: the base's tokens and the steps of their
    codes, the first from that of the first choice; of the tuned model's tokens the places in what is left of the base's
    list, else `NOWHERE` and a number in `tuned_new`; their codes as steps from that in the base's list, or else from
    the one before, the first from that of the emitted token.
    """
    token, said = _column(rows, 'token_id'), emitted(rows)
    tuned = lists(rows, 'tuned')
    choice = tuned.ids[:, 0]
    logprob = np.where(choice == token, 0, CODES['logprob'].of(_column(rows, 'base_logprob'))).astype(np.uint16)
    expected = CODES['listed'].of(np.where(choice == token, said.base_nats, CODES['logprob'].read(logprob)))
    expected_tuned = CODES['listed'].of(said.tuned_nats)
    base, tuned = _begun(lists(rows, 'base'), choice, expected), _begun(tuned, token, expected_tuned)
    where = _where(base, tuned)
    found = where < NOWHERE
    beside = np.take_along_axis(base.codes, np.where(found, where, 0), axis=1)
    # What is kept of a list comes first in it, because it is sorted.
    steps = np.where(found, tuned.codes - beside, _steps(tuned.codes, expected_tuned))
    steps[:, 0] = tuned.codes[:, 0] - expected_tuned
    rank = _column(rows, 'base_rank').astype(np.uint32)
    return {
        'token': _smallest(places[token] - places[choice]),
        'class': np.array([CLASSES.index(name) for name in rows['shift_class'].to_pylist()], np.uint8),
        'rank': _smallest(rank),
        'emitted_rank': _smallest(_column(rows, 'emitted_base_rank').astype(np.int64) - rank),
        'emitted_tuned_rank': _smallest(_column(rows, 'emitted_tuned_rank') - 1),
        'kl': CODES['kl'].of(_column(rows, 'kl_tuned_base')),
        'base_entropy': CODES['entropy'].of(_column(rows, 'base_entropy')),
        'tuned_entropy': CODES['entropy'].of(_column(rows, 'tuned_entropy')),
        'emitted': said.likelier,
        'delta': said.delta,
        'base': logprob,
        'base_count': base.kept.sum(axis=1).astype(np.uint8),
        'base_tokens': _smallest(places[base.ids[base.kept]]),
        'base_steps': _steps(base.codes, expected)[base.kept],
        'tuned_count': tuned.kept.sum(axis=1).astype(np.uint8),
        'tuned_where': _among_left(where)[tuned.kept],
        'tuned_new': _smallest(places[tuned.ids[tuned.kept & ~found]]),
        'tuned_steps': steps[tuned.kept],
    }


def _begun(found: Lists, token: np.ndarray, code: np.ndarray) -> Lists:
    """With the code [P] that a first item has of its own column, where it is that token [P]: a step of zero."""
    codes = found.codes.copy()
    codes[:, 0] = np.where(found.ids[:, 0] == token, code, codes[:, 0])
    return found._replace(codes=codes)


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


def _steps(codes: np.ndarray, first: np.ndarray) -> np.ndarray:
    """From one code to the next, modulo 256; the first from that of a token which mostly is the first."""
    return np.diff(codes, axis=1, prepend=first[:, None])


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    values = pa.concat_arrays([chunk.flatten() for chunk in column.chunks]).to_numpy()
    return values.reshape(len(column), -1)


def _column(rows: pa.Table, name: str) -> np.ndarray:
    return rows[name].to_numpy()


def _smallest(values: np.ndarray) -> np.ndarray:
    """As uint16 where all fit, else uint32; negative ones modulo 2³²."""
    fit = not len(values) or (values.min() >= 0 and values.max() < 1 << 16)
    return values.astype(np.uint16 if fit else np.uint32)
