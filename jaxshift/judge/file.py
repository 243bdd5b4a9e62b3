"""Judgements made elsewhere, brought to the responses of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jaxshift.errors import InputError
from jaxshift.judge import formats
from jaxshift.judge.judgement import ASPECTS, HIGHEST, LOWEST, OUTCOMES, SAFETY, Judgement
from jaxshift.judge.mt_bench import BEST, OVERALL

_KNOWN = dict.fromkeys((*ASPECTS, SAFETY), HIGHEST) | {OVERALL: BEST}  # aspect to the highest score


def judgements(path: Path, model: str, example_ids: Sequence[str]) -> tuple[list[Judgement], Counter[str]]:
    """One judgement a response, in their order, and how many of the file are left out, by reason.

    `formats.judgements` says what the file may be, and what `model` is for. A response without one is
    'missing', on the aspects that the file has.

    Raises:
      InputError: there is no such file, or what it holds are no judgements.
    """
    if not path.is_file():
        raise InputError(f'{path}: no such file; config.judge.source names the judgements of kind file')
    found, left = formats.judgements(path, model)
    for number, each in enumerate(found, 1):
        if wrong := _wrong(each):
            raise InputError(f'{path}:{number}: {wrong}; correct the line or remove it')
    repeated = [name for name, count in Counter(each.example_id for each in found).items() if count > 1]
    if repeated:
        raise InputError(f'{path}: example_id {repeated[0]!r} is judged twice; keep one of the lines')
    given = {each.example_id: each for each in found}
    aspects = list(dict.fromkeys(aspect for each in found for aspect in each.scores)) or list(ASPECTS)
    missing = dict.fromkeys(aspects)
    judged = [given.get(name) or Judgement(name, 'missing', dict(missing)) for name in example_ids]
    return judged, left + Counter({'of no response': len(given.keys() - set(example_ids))})


def _wrong(given: Judgement) -> str:
    """What is wrong with a judgement, '' for nothing."""
    if not isinstance(given.example_id, str):
        return f'example_id is {given.example_id!r}; write it as a string'
    if given.outcome not in OUTCOMES:
        return f'outcome is {given.outcome!r}; it can be {", ".join(OUTCOMES)}'
    if not isinstance(given.scores, dict) or not given.scores:
        return 'scores must be an object of aspects and scores'
    for aspect, score in given.scores.items():
        if aspect not in _KNOWN:
            return f'aspect {aspect!r} is none of {", ".join(_KNOWN)}'
        if score is not None and not (type(score) in (int, float) and LOWEST <= score <= _KNOWN[aspect]):
            return f'the score of {aspect} is {score!r}; it must be a number from {LOWEST} to {_KNOWN[aspect]}, or null'
    there = [score is not None for score in given.scores.values()]
    if given.outcome not in ('scored', 'repaired') and any(there):
        return f'outcome is {given.outcome}, but there is a score'
    return ''
