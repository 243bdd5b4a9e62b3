"""What a judge says when it compares two responses, shown in both orders, and the file of a run that holds it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxshift.errors import InputError
from jaxshift.judge.rubric import EVEN, FIRST, SECOND
from jaxshift.store import jsonl

RUN, OTHER, NEITHER = 'run', 'other', 'neither'
RESULTS = ('win', 'loss', 'tie', 'inconsistent', 'unjudged')
# Who is meant by a letter, in each order: the run's response stands first, then second.
MEANT = ({FIRST: RUN, SECOND: OTHER, EVEN: NEITHER}, {FIRST: OTHER, SECOND: RUN, EVEN: NEITHER})


@dataclass(frozen=True)
class Pair:
    """One response of a run against that of another, or of the base, to the same prompt. Tuples have one each order.

    Attributes:
      example_id: of both responses.
      other: whose the other response is.
      verdicts: run, other or neither, whichever is better; None where the judge gave no verdict.
      outcomes: as in a `Judgement`.
      reasons: the judge's words, '' where it gave none.
      raw: texts of its replies.
    """

    example_id: str
    other: str
    verdicts: tuple[str | None, str | None]
    outcomes: tuple[str, str]
    reasons: tuple[str, str] = ('', '')
    raw: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def result(pair: Pair) -> str:
    """One of RESULTS, for the run: only what both orders say counts; a judge that changes its mind says nothing."""
    first, second = pair.verdicts
    if first is None or second is None:
        return 'unjudged'
    return {RUN: 'win', OTHER: 'loss', NEITHER: 'tie'}[first] if first == second else 'inconsistent'


def counts(pairs: Iterable[Pair]) -> dict[str, int]:
    """How many pairs have each of RESULTS; they add up to the number of pairs."""
    found = Counter(map(result, pairs))
    return {name: found[name] for name in RESULTS}


def write(path: Path, pairs: Iterable[Pair]) -> None:
    """One JSON object a line, in the order of the responses."""
    jsonl.write(path, map(dataclasses.asdict, pairs))


def read(path: Path) -> list[Pair]:
    """What `write` wrote.

    Raises:
      InputError: names the line that is no pair.
    """
    found = []
    for number, row in enumerate(jsonl.read(path), 1):
        try:
            lists = {name: tuple(row[name]) for name in ('verdicts', 'outcomes', 'reasons')}
            found.append(Pair(**row | lists | {'raw': tuple(map(tuple, row['raw']))}))
        except (KeyError, TypeError) as error:
            raise InputError(f'{path}:{number}: not a pair of verdicts ({error}); run --mode=judge again') from error
    return found
