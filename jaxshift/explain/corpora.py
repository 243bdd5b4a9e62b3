"""The tuning data of a study, and a null corpus of rows that nothing was trained on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxshift import treatments, tuning
from jaxshift.data import mixture, rows, sources, world
from jaxshift.data.formats import Example
from jaxshift.data.shapes import Message
from jaxshift.depends import Settings
from jaxshift.errors import InputError
from jaxshift.study import MADE_HERE, Study


class Corpora(NamedTuple):
    """Rows of token ids.

    Attributes:
      tuning: all rows that runs train on, in the order of the data set.
      ids: the example id of each.
      sample: numbers of those that are held against the null corpus.
      null: its rows, with as many tokens as the sample.
      null_rows: how many there were to draw from.
      left_out: how many of its records cannot be tokenised.
    """

    tuning: list[np.ndarray]
    ids: list[str]
    sample: np.ndarray
    null: list[np.ndarray]
    null_rows: int
    left_out: int

    @property
    def sampled(self) -> list[np.ndarray]:
        return [self.tuning[number] for number in self.sample]


def null_is(study: Study) -> str:
    """What the null corpus is, in words; empty where there is none."""
    asked = study.experiment
    if asked.causes.borrowing_null:
        return f'records of {asked.causes.borrowing_null}'
    if asked.data.held_out or asked.data.subset:
        return 'rows of the instruction data that no run trains on'
    if asked.data.source == MADE_HERE and not asked.data.mixture:
        return 'instructions of the same world that no run trains on'
    return ''


def settings(study: Study) -> Settings:
    """Of the null corpus; the instruction data is the data stage's."""
    asked = study.experiment.causes.borrowing_null
    if asked:
        sources.check(asked, 'config.causes.borrowing_null')
    return {'what': null_is(study), 'records': sources.fingerprint(asked) if asked else ''}


def read(study: Study, treatment: str) -> Corpora:
    """Reads both; the tuning data are those of a treatment.

    Raises:
      InputError: no row is left for the null corpus.
    """
    data, _ = tuning.training_data(study, treatment)
    trained = [data[number] for number in range(len(data))]
    counts: Counter[str] = Counter()
    refused: list = []
    length = study.experiment.data.max_length
    unseen = _examples(study, treatment)
    found = [row.tokens for row in rows.tokenise(unseen, study.template, length, 'skip', counts, refused)]
    if not found:
        raise InputError(
            f'{null_is(study)}: there is none, so borrowing has nothing to be held against; set '
            'config.causes.borrowing_null to another source, or leave borrowing out of config.causes.analyses'
        )
    tokens = [row.tokens for row in trained]
    sample, null = equal(tokens, found, study.experiment.seed)
    ids = [row.example_id for row in trained]
    return Corpora(tokens, ids, sample, [found[number] for number in null], len(found), len(refused))


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
    asked, other = study.experiment.data, study.experiment.causes.borrowing_null
    if other:
        return mixture.read({other: 1}, on_bad=asked.on_bad_record).examples
    if asked.held_out or asked.subset:
        whole = mixture.read(
            study.data_sources, asked.format, asked.columns, asked.on_bad_record, asked.limit, 0, asked.subset_seed,
            asked.held_out,
        )  # fmt: skip
        trained = {example.where for example in treatments.instructions(study, treatment).examples}
        return [example for example in whole.once if example.where not in trained]
    # Of a world's instructions the first are those of a smaller set: those behind them are drawn in the same way.
    count = study.world.instructions
    more = world.generate(dataclasses.replace(study.world, instructions=2 * count, documents=1)).instructions[count:]
    return [
        Example(each['id'], (Message('user', each['instruction']), Message('assistant', each['output'])), each['id'])
        for each in more
    ]
