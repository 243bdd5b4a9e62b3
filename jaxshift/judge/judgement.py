"""What a judge says about one response, and the file of a run that holds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxshift.errors import InputError
from jaxshift.store import jsonl

ASPECTS = ('helpfulness', 'clarity', 'factuality', 'depth', 'engagement')
SAFETY = 'safety'  # judged apart, of prompts that ask for harm
LOWEST, HIGHEST = 1, 5
OUTCOMES = (
    'scored',
    'repaired',  # scored at the second attempt
    'unparsed',  # replied, twice, with something else than scores
    'refused',  # declined to judge
    'failed',  # no reply: time-out, error of the server, budget spent
    'missing',  # no judgement there, of a file made elsewhere
)


@dataclass(frozen=True)
class Judgement:
    """One response by one judge.

    Attributes:
      example_id: of the response.
      outcome: one of OUTCOMES.
      scores: aspect to score from 1 to 5, None where there is none; never imputed. All aspects that were asked for.
      reasons: aspect to the judge's words, where it gave any.
      raw: texts of its replies, in their order, as they came.
    """

    example_id: str
    outcome: str
    scores: dict[str, float | None]
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)
    raw: tuple[str, ...] = ()


def write(path: Path, judgements: Iterable[Judgement]) -> None:
    """One JSON object a line, in the order of the responses."""
    jsonl.write(path, map(dataclasses.asdict, judgements))


def read(path: Path) -> list[Judgement]:
    """What `write` wrote.

    Raises:
      InputError: names the line that is not a judgement.
    """
    found = []
    for number, row in enumerate(jsonl.read(path), 1):
        try:
            raw = row['raw'] if isinstance(row['raw'], list) else [row['raw']]
            found.append(Judgement(**row | {'raw': tuple(raw)}))
        except (KeyError, TypeError) as error:
            raise InputError(f'{path}:{number}: not a judgement ({error}); run --mode=judge again') from error
    return found
