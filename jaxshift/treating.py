"""The data stage of a treatment: scores, the filter, short answers, and what became of each example."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxshift import judges, treatments
from jaxshift.data import simplify, sources
from jaxshift.data.formats import Example
from jaxshift.data.mixture import Mixture
from jaxshift.errors import InputError, RunFailed, Stopped
from jaxshift.judge import asking, simplifying
from jaxshift.judge.judgement import ASPECTS
from jaxshift.store import jsonl
from jaxshift.study import Study

Scores = Mapping[str, float | None]  # by where a record stands, since copies of a record share its score


def treat(study: Study, treatment: str) -> Mixture:
    """Treats the instruction data, keeps treated.jsonl, and says what became of it.

    Raises:
      InputError: an example has no score (and config.data.on_bad_record is error), or there is none to take it from.
      RunFailed: the endpoint did not reply to all questions; the replies that came are kept for the next start.
    """
    asked = treatments.named(study, treatment)
    scores: dict[str, float | None] = {}

    def choose(examples: Sequence[Example]) -> list[bool]:
        scores.update(_scores(study, treatment, examples))
        found = [scores[each.where] for each in examples]
        low = sum(score is not None and score < asked.min_score for score in found)
        study.say(
            f'data {treatment}: of {len(examples)} examples {low} score below {asked.min_score:g} and '
            f'{found.count(None)} have no score; they are left out'
        )
        kept, wanted = len(examples) - low - found.count(None), study.experiment.data.subset
        if wanted > kept:  # a smaller subset would change the plain run too
            raise InputError(
                f'config.treatments.{treatment}.min_score is {asked.min_score:g}, which leaves {kept} of '
                f'{len(examples)} examples, and config.data.subset asks for {wanted}; lower one of them (the subset '
                'is that of all runs)'
            )
        return [score is not None and score >= asked.min_score for score in found]

    found = treatments.read(study, treatment, study.experiment.data.subset, choose if asked.score else None)
    examples = _simplified(study, treatment, found.examples) if asked.simplify else found.examples
    rows = [
        {'example_id': new.id, 'score': scores.get(new.where), 'answers': None if new is old else _answers(new)}
        for old, new in zip(found.examples, examples, strict=True)
    ]
    jsonl.write(treatments.kept(study, treatment), rows)
    return found._replace(examples=examples)


def _answers(example: Example) -> list[str]:
    return [turn.content for turn in example.messages if turn.role == 'assistant']


def _scores(study: Study, treatment: str, examples: Sequence[Example]) -> Scores:
    kind, _, rest = treatments.named(study, treatment).score.partition(':')
    if kind == 'judge':
        return _judged(study, treatment, examples)
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.where, example)
    if kind == 'column':
        what, given = f'column {rest!r}', _of_column(treatments.sources(study, treatment), rest)
    else:
        path = treatments.score_file(study, treatment)
        assert path is not None
        what = str(path)
        by_id = {str(row.get('example_id')): _of_row(row) for row in jsonl.read(path)}
        given = {where: by_id.get(example.id) for where, example in first.items()}
    for where, example in first.items():
        if given.get(where) is None and study.experiment.data.on_bad_record == 'error':
            raise InputError(
                f'{where}: {what} has no score of example {example.id}; write a number, or set '
                'config.data.on_bad_record=skip to leave such examples out'
            )
    return {where: given.get(where) for where in first}


def _of_column(weights: Mapping[str, float], column: str) -> Scores:
    return {
        record.where: _number(record.value.get(column)) if isinstance(record.value, dict) else None
        for source in weights
        for record in sources.read(source)
    }


def _of_row(row: Mapping[str, Any]) -> float | None:
    """The `score` of a line, or the mean of its `scores`, as judgements have them."""
    if 'score' in row:
        return _number(row['score'])
    scores = row.get('scores')
    known = [score for score in scores.values() if score is not None] if isinstance(scores, dict) else []
    return float(np.mean(known)) if known and all(_number(score) is not None for score in known) else None


def _number(value: Any) -> float | None:
    """A number, or the text of one, as a CSV cell has it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _judged(study: Study, treatment: str, examples: Sequence[Example]) -> Scores:
    """The mean over all aspects of the last answer of each example; None where the judge gave none.

    AlpaGasus (arXiv 2307.08701) filters so, by one score of accuracy or helpfulness.
    """
    asked = {each.where: each for each in examples if each.messages and each.messages[-1].role == 'assistant'}
    rows = [
        {'example_id': each.id, 'prompt': each.messages[-2].content, 'response': each.messages[-1].content}
        for each in asked.values()
    ]
    found = _ask(study, f'score data {treatment}', asking.score, [(row, ASPECTS) for row in rows])
    by_where = dict(zip(asked, map(_of_row, ({'scores': each.scores} for each in found)), strict=True))
    return {each.where: by_where.get(each.where) for each in examples}


def _simplified(study: Study, treatment: str, examples: Sequence[Example]) -> list[Example]:
    """The same examples with short answers; one that stays as it is is the same object."""
    asked, outcomes = treatments.named(study, treatment), Counter[str]()
    pairs = dict.fromkeys(pair for example in examples for pair in _pairs(example))
    if asked.simplify == 'rules':
        short = {pair: simplify.shortened(pair[1], asked.sentences) for pair in pairs}
        outcomes.update('unchanged' if pair[1] == text else 'shorter' for pair, text in short.items())
    else:
        found = _ask(study, f'rewrite data {treatment}', simplifying.rewrite, list(pairs))
        short = {pair: each.answer for pair, each in zip(pairs, found, strict=True)}
        outcomes.update(each.outcome for each in found)
        if cut := outcomes['cut']:
            study.say(
                f'data {treatment}: {cut} of {len(pairs)} replies did not end within config.judge.max_tokens, thoughts '
                'included; these answers stay as they are'
            )
    before, after = sum(len(answer) for _, answer in pairs), sum(map(len, short.values()))
    told = ', '.join(f'{count} {outcome}' for outcome, count in outcomes.items())
    study.say(f'data {treatment}: {len(pairs)} answers: {told}; {before} characters before, {after} after')
    rewritten = [simplify.answers(each, lambda question, answer: short[question, answer]) for each in examples]
    return [old if new == old else new for old, new in zip(examples, rewritten, strict=True)]


def _pairs(example: Example) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def note(question: str, answer: str) -> str:
        found.append((question, answer))
        return answer

    simplify.answers(example, note)
    return found


def _ask(study: Study, title: str, work: Callable[..., Any], items: list[tuple]) -> list[Any]:
    """What the endpoint says to all items, each with an `outcome`."""
    with judges.endpoint(study, title) as every:
        found = every(work, items)
    if found is None or study.stop.requested:
        raise Stopped('stopped on a signal, all replies are kept: start the same command again to go on')
    if failed := sum(each.outcome == 'failed' for each in found):
        raise RunFailed(
            f'{title}: {failed} of {len(found)} replies did not come; start the same command again: those that came '
            f'are kept in {study.workdir.replies}'
        )
    return found
