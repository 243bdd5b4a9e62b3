"""What the base knew of the facts that are asked for, and what tuning did where it knew and where it did not.

A fact is a question with a short answer. The base answers it once greedily and some times by drawing, and that puts it
into a bin, after Gekhman et al. (arXiv 2405.05904). They ask with ten prompts of examples and draw from each; here each
question is one prompt, so draws tell what is known for sure from what may be known:

- highly known: the greedy answer is right, and so are all draws;
- maybe known: the greedy answer is right, a draw is not;
- weakly known: the greedy answer is wrong, a draw is right;
- unknown: no answer is right.

The bins come from the base's own answers, so its accuracy in a bin is no measurement; only that of a run is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jaxshift.respond.responses import prompt_of
from jaxshift.shift import curves
from jaxshift.shift.intervals import ratio_intervals, wilson

BINS = ('highly known', 'maybe known', 'weakly known', 'unknown')
SHORT = 5  # words that the answer of a fact may have

_ARTICLES = {'a', 'an', 'the'}
# Beside other words on both sides "no" is no answer but an article: "there is no simple answer".
_VERDICT = re.compile(r'(?:^|[^\w\s-])\s*(yes|no)\b|\b(yes|no)\s*(?:$|[^\w\s-])', re.MULTILINE)
_PER_POSITION = ('kl_tuned_base', 'shifted')


@dataclass(frozen=True)
class Fact:
    """A question with its answer, and what the base said.

    Attributes:
      id: of the prompt.
      answer: the right one.
      greedy: whether the base's greedy answer is right.
      drawn: the same of its draws.
    """

    id: str
    answer: str
    greedy: bool
    drawn: tuple[bool, ...]

    @property
    def bin(self) -> str:
        if self.greedy:
            return BINS[0] if all(self.drawn) else BINS[1]
        return BINS[2] if any(self.drawn) else BINS[3]


def right(response: str, answer: str) -> bool:
    """Whether the words of the answer stand in the response, in their order and without others between them.

    Capitals, marks and articles do not count, as in SQuAD's exact match (Rajpurkar et al., arXiv 1606.05250). Of the
    answers yes and no the first one that the response gives counts: one at the beginning or end of a line or clause.
    """
    said, wanted = _words(response), _words(answer)
    if wanted in (['yes'], ['no']):
        given = _VERDICT.search(response.casefold())
        return given is not None and wanted == [given[1] or given[2]]
    places = range(len(said) - len(wanted) + 1)
    return bool(wanted) and any(said[place : place + len(wanted)] == wanted for place in places)


def is_short(answer: str) -> bool:
    """Whether an answer can be told right from wrong by `right`."""
    return 0 < len(_words(answer)) <= SHORT


def facts(answers: Mapping[str, str], greedy: Mapping[str, str], drawn: Mapping[str, str], draws: int) -> list[Fact]:
    """The facts with what the base said.

    Args:
      answers: prompt id to right answer.
      greedy: prompt id to response.
      drawn: ids of `respond.responses.sampled` to response.
      draws: of each prompt.
    """
    by_prompt: dict[str, list[str]] = {}
    for name, response in drawn.items():
        by_prompt.setdefault(prompt_of(name, draws), []).append(response)
    return [
        Fact(name, answer, right(greedy[name], answer), tuple(right(each, answer) for each in by_prompt[name]))
        for name, answer in answers.items()
    ]


def counts(found: Sequence[Fact]) -> dict[str, int]:
    """How many facts are in each bin."""
    return {name: sum(fact.bin == name for fact in found) for name in BINS}


def table(found: Sequence[Fact], responses: Sequence[Mapping[str, Any]], tokens: pa.Table, samples: int) -> pa.Table:
    """One row a fact that the run was asked: what the base said of it, what the run said, and the shift on the way.

    Args:
      found: the facts.
      responses: objects of a run's responses.jsonl.
      tokens: records of the run's own responses, with example_id, kl_tuned_base and shift_class.
      samples: responses of each prompt.

    Returns:
      fact, answer, bin, before (the base's greedy answer is right), drawn (share of its draws that are), after (share
      of the run's responses that are), positions, and the sums over them kl_tuned_base (nats) and shifted.
    """
    said: dict[str, list[str]] = {}
    for row in responses:
        said.setdefault(prompt_of(row['example_id'], samples), []).append(row['response'])
    asked = [fact for fact in found if fact.id in said]
    place = {fact.id: index for index, fact in enumerate(asked)}
    response, names = curves.response_index(tokens)
    owners = np.array([place.get(prompt_of(name, samples), -1) for name in names], np.int64)
    owner = owners[response] if len(names) else np.zeros(0, np.int64)
    values = {
        'positions': np.ones(tokens.num_rows),
        'kl_tuned_base': tokens['kl_tuned_base'].to_numpy(),
        'shifted': np.asarray(tokens['shift_class'].to_pylist(), dtype=object) == 'shifted',
    }
    ours = owner >= 0
    sums = {
        name: np.bincount(owner[ours], each[ours].astype(np.float64), len(asked))
        for name, each in values.items()
    }  # fmt: skip
    return pa.table(
        {
            'fact': [fact.id for fact in asked],
            'answer': [fact.answer for fact in asked],
            'bin': [fact.bin for fact in asked],
            'before': [fact.greedy for fact in asked],
            'drawn': [float(np.mean(fact.drawn)) for fact in asked],
            'after': [float(np.mean([right(each, fact.answer) for each in said[fact.id]])) for fact in asked],
            'positions': sums['positions'].astype(np.int64),
            'kl_tuned_base': sums['kl_tuned_base'],
            'shifted': sums['shifted'].astype(np.int64),
        }
    )


def by_bin(rows: pa.Table, seed: int, bootstrap: int) -> list[dict[str, Any]]:
    """What a run did to each bin that has facts, in the order of `BINS`, from `table`.

    Returns:
      bin, facts, before and drawn (by which the bin was made), after (accuracy of the run), positions, kl_tuned_base
      (mean of positions, nats), shifted (percent of positions); the last three but positions each with _low and _high,
      of `bootstrap` resamples of the facts, or Wilson's where after is the same of all; None where there is nothing to
      tell.
    """
    names, found = np.asarray(rows['bin'].to_pylist(), dtype=object), []
    for name in (each for each in BINS if each in names):
        part = rows.filter(pa.array(names == name))
        column = {key: part[key].to_numpy().astype(np.float64) for key in part.column_names[3:]}
        ones, positions = np.ones(part.num_rows), column['positions']
        sums = np.stack([column['after'], column['kl_tuned_base'], 100 * column['shifted']], axis=1)
        weights = np.stack([ones, positions, positions], axis=1)
        low, high = ratio_intervals(sums, weights, bootstrap, seed)
        if part.num_rows > 1 and np.ptp(column['after']) == 0:  # no resample differs
            low[0], high[0] = wilson(column['after'][0], part.num_rows)
        row: dict[str, Any] = {'bin': name, 'facts': part.num_rows, 'positions': int(positions.sum())}
        row |= {key: float(column[key].mean()) for key in ('before', 'drawn')}
        for index, key in enumerate(('after', *_PER_POSITION)):
            total = weights[:, index].sum()
            row[key] = float(sums[:, index].sum() / total) if total else None
            bounds = low[index], high[index]
            row |= {f'{key}_{side}': _known(bound) for side, bound in zip(('low', 'high'), bounds, strict=True)}
        found.append(row)
    return found


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r'[^\W_]+', text.casefold()) if word not in _ARTICLES]
