"""Responses together with the records of their prompts, as files of other tools want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxshift.errors import InputError
from jaxshift.respond import responses
from jaxshift.respond.responses import prompt_of

Record = dict[str, Any]


class Answered(NamedTuple):
    """One response.

    Attributes:
      id: of the response.
      sample: its number among the responses of its prompt.
      record: of its prompt; empty where there is none.
      instruction: what was asked.
      output: what was answered.
    """

    id: str
    sample: int
    record: Mapping[str, Any]
    instruction: str
    output: str

    @property
    def prompt(self) -> str:
        """The id of the prompt."""
        return self.id.removesuffix(f'#{self.sample}') if self.sample else self.id


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a responses.jsonl, each with the texts of its prompt and of its response.

    Raises:
      InputError: as `responses.read`, or a line lacks one of them.
    """
    rows = responses.read(path)
    for number, row in enumerate(rows, start=1):
        for field in ('prompt', 'response'):
            if not isinstance(row.get(field), str):
                raise InputError(f'{path}:{number}: field {field} must be the text that is judged; add it')
    return rows


def pair(rows: Sequence[Record], records: Sequence[Record] | None, samples: int = 1) -> list[Answered]:
    """Objects of responses.jsonl, each with the record of its prompt.

    Args:
      rows: the responses.
      records: of the prompts, in any order, with `id`, `example_id` or `question_id`, else their place is their id.
      samples: responses of each prompt.

    Raises:
      InputError: a response has no text.
    """
    by_id = {_id(record, place): record for place, record in enumerate(records or ())}
    found = []
    for row in rows:
        name = row['example_id']
        prompt = prompt_of(name, samples)
        for field in ('prompt', 'response'):
            if not isinstance(row.get(field), str):
                raise InputError(
                    f'response {name}: has no {field} in text; write it into every line of responses.jsonl'
                )
        sample = int(name.removeprefix(f'{prompt}#')) if name != prompt else 0
        found.append(Answered(name, sample, by_id.get(prompt, {}), row['prompt'], row['response']))
    return found


def number(name: str) -> str | int:
    """An id as the other tools have it: a number where it is written as one."""
    return int(name) if name.isdecimal() and name == str(int(name)) else name


def _id(record: Record, place: int) -> str:
    return str(next((record[key] for key in ('id', 'example_id', 'question_id') if key in record), place))
