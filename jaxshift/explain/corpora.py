"""The tuning data of a study, and a null corpus of rows that nothing was trained on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxshift import depends, treatments, tuning
from jaxshift.data import mixture, rows, simplify, sources, world
from jaxshift.data.formats import Example
from jaxshift.data.shapes import Message
from jaxshift.depends import Settings
from jaxshift.errors import InputError
from jaxshift.study import MADE_HERE, Study


class Corpora(NamedTuple):
    """Rows of token ids, each once, without those that answer a prompt: the base may know their answers by itself.

    Attributes:
      tuning: rows that the run trains on, in the order of the data set.
      ids: the example id of each.
      numbers: of each all its places in the data set; more than one where it is taken several times.
      sample: numbers of those that are held against the null corpus.
      null: its rows, with as many tokens as the sample.
      null_rows: how many there were to draw from.
      left_out: what else there was, by reason.
    """

    tuning: list[np.ndarray]
    ids: list[str]
    numbers: list[list[int]]
    sample: np.ndarray
    null: list[np.ndarray]
    null_rows: int
    left_out: dict[str, int]

    @property
    def sampled(self) -> list[np.ndarray]:
        return [self.tuning[number] for number in self.sample]


def null_is(study: Study, treatment: str = '') -> str:
    """What the null corpus is, in words; empty where there is none."""
    asked = study.experiment
    short = ', shortened as its own are' if treatment and treatments.named(study, treatment).simplify == 'rules' else ''
    if asked.causes.borrowing_null:
        return f'records of {asked.causes.borrowing_null}{short}'
    if asked.data.held_out or asked.data.subset:
        return f'rows of its instruction data that the run does not train on{short}'
    if asked.data.source == MADE_HERE and not asked.data.mixture:
        return f'instructions of the same world that no run trains on{short}'
    return ''


def lacking(study: Study, treatment: str) -> str:
    """Why the runs of a treatment cannot be held against anything, with what to do; else empty."""
    asked = study.experiment
    if not asked.prompts.source and not 0 < asked.prompts.limit < len(tuning.training_data(study, treatment)[0]):
        return 'the prompts ask every row of the tuning data; set config.prompts.limit or config.prompts.source'
    if not treatment or asked.causes.borrowing_null:
        return ''
    found = treatments.named(study, treatment)
    reason = ''
    if found.score:
        reason = 'filters its rows, and those that it lets pass have no like among the others'
    elif found.simplify == 'endpoint':
        reason = 'has its answers rewritten by a model, and no others'
    elif found.source and not (asked.data.held_out or asked.data.subset):
        reason = 'trains on all rows of its source'
    return f'treatment {treatment} {reason}; set config.causes.borrowing_null=SOURCE' if reason else ''


def settings(study: Study, treatment: str) -> Settings:
    """Of the null corpus. It may be rows of the data that the data stage leaves out, so their hash is that of all."""
    asked = study.experiment.causes.borrowing_null
    if asked:
        sources.check(asked, 'config.causes.borrowing_null')
    return {
        'what': null_is(study, treatment),
        'records': sources.fingerprint(asked) if asked else treatments.records_hash(study, treatment),
        'read': depends.asked_of_data(study, treatment),
    }


def read(study: Study, treatment: str, prompts: Sequence[np.ndarray]) -> Corpora:
    """Reads both; the tuning data are those of a treatment, and `prompts` the token ids of all that is asked.

    Raises:
      InputError: no row is left for one of them.
    """
    data, _ = tuning.training_data(study, treatment)
    counts: Counter[str] = Counter()
    refused: list = []
    length = study.experiment.data.max_length
    asked = {_key(prompt) for prompt in prompts}
    trained = distinct((data[number] for number in range(len(data))), asked)
    unseen = rows.tokenise(_examples(study, treatment), study.template, length, 'skip', counts, refused)
    others = distinct(unseen, asked)
    known = set(trained.rows)
    found = [row.tokens for key, row in others.rows.items() if key not in known]
    left_out = {
        'copies': sum(map(len, trained.numbers)) - len(known),
        'asked': trained.asked,
        'null_refused': len(refused),
        'null_copies': sum(map(len, others.numbers)) - len(others.rows),
        'null_asked': others.asked,
        'null_trained': len(others.rows) - len(found),
    }
    for what, kept in (('the tuning data', trained.rows), (null_is(study, treatment), found)):
        if not kept:
            told = ', '.join(f'{name} {count}' for name, count in left_out.items() if count) or 'there are none'
            raise InputError(
                f'{what}: no row is left for borrowing to look in ({told}); set config.causes.borrowing_null or '
                'config.prompts.source to another source, or leave borrowing out of config.causes.analyses'
            )
    tokens = [row.tokens for row in trained.rows.values()]
    sample, null = equal(tokens, found, study.experiment.seed)
    ids = [row.example_id for row in trained.rows.values()]
    return Corpora(tokens, ids, trained.numbers, sample, [found[number] for number in null], len(found), left_out)


class Distinct(NamedTuple):
    """Rows by their tokens, the places at which each stands, and how many were left out since a prompt asks them."""

    rows: dict[bytes, rows.Row]
    numbers: list[list[int]]
    asked: int


def distinct(found: Iterable[rows.Row], prompts: set[bytes]) -> Distinct:
    """Each row once: a copy says nothing new. Rows that answer one of the prompts (of `_key`) are left out.

    Prompts are tokenised as the questions of rows are, so a row answers one where it begins with it (see `Template`).
    """
    kept: dict[bytes, rows.Row] = {}
    numbers: dict[bytes, list[int]] = {}
    asked = 0
    for number, row in enumerate(found):
        begins = np.flatnonzero(row.trained[1:] & ~row.trained[:-1]) + 1
        if any(_key(row.tokens[:begin]) in prompts for begin in begins):
            asked += 1
            continue
        key = _key(row.tokens)
        kept.setdefault(key, row)
        numbers.setdefault(key, []).append(number)
    return Distinct(kept, list(numbers.values()), asked)


def _key(tokens: np.ndarray) -> bytes:
    return np.asarray(tokens, np.int32).tobytes()


def equal(one: Sequence[np.ndarray], other: Sequence[np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of rows of both, in order: all rows of the one with fewer tokens, of the other at random as many tokens.

    Where rows of the other are drawn, the last one that would go beyond is left out.
    """
    sizes = [np.array([len(row) for row in rows]) for rows in (one, other)]
    budget, rng = min(each.sum() for each in sizes), np.random.default_rng(seed)
    drawn = []
    for each in sizes:
        order = rng.permutation(len(each))
        fits = int(np.searchsorted(np.cumsum(each[order]), budget, side='right'))
        drawn.append(np.sort(order[: max(1, fits)]))
    return drawn[0], drawn[1]


def _examples(study: Study, treatment: str) -> list[Example]:
    """The records of the null corpus, with answers as short as those of the treatment."""
    found = _untreated(study, treatment)
    asked = treatments.named(study, treatment) if treatment else None
    if not asked or asked.simplify != 'rules':
        return found
    return [simplify.answers(each, lambda _, answer: simplify.shortened(answer, asked.sentences)) for each in found]


def _untreated(study: Study, treatment: str) -> list[Example]:
    asked, other = study.experiment.data, study.experiment.causes.borrowing_null
    if other:
        return mixture.read({other: 1}, on_bad=asked.on_bad_record).examples
    if asked.held_out or asked.subset:
        whole = treatments.read(study, treatment, 0, None) if treatment else _whole(study)
        trained = {example.where for example in treatments.instructions(study, treatment).examples}
        return [example for example in whole.once if example.where not in trained]
    # Of a world's instructions the first are those of a smaller set: those behind them are drawn in the same way.
    count = study.world.instructions
    more = world.generate(dataclasses.replace(study.world, instructions=2 * count, documents=1)).instructions[count:]
    return [
        Example(each['id'], (Message('user', each['instruction']), Message('assistant', each['output'])), each['id'])
        for each in more
    ]


def _whole(study: Study) -> mixture.Mixture:
    asked = study.experiment.data
    return mixture.read(
        study.data_sources, asked.format, asked.columns, asked.on_bad_record, asked.limit, 0, asked.subset_seed,
        asked.held_out,
    )  # fmt: skip
