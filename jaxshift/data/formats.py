"""From records to examples: tells the format, renames columns, and refuses by name what cannot be used.

A record becomes an `Example`; a bad one is an error that names file, line, field and fix, or is counted by reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxshift.data.shapes import FIELDS, SHAPES, BadRecord, Content, Message, Tokens, kind, text
from jaxshift.data.sources import Record
from jaxshift.errors import InputError

_LONGEST_TAG = 100  # characters; what is longer is text


@dataclass(frozen=True)
class Example:
    """What one record gives: a conversation, or a plain text, or tokens; the others are empty.

    Attributes:
      id: the record's own `id` or `example_id` (MT-bench: `question_id`), else its index in the file, from 0.
      messages: the turns: at most one system turn, then user (or tool) and assistant in turn.
      where: 'file:line', or file and index of the record; for messages to the user.
      text: a document to go on pre-training with.
      tokens: made elsewhere.
      tags: fields of the record that no format reads and that name what kind of record it is, such as dataset, topic
        or category: each with its values, which are short texts.
      reference: MT-bench's answers to its turns, by which its judge reads those of a model.
    """

    id: str
    messages: tuple[Message, ...]
    where: str
    text: str = ''
    tokens: Tokens | None = None
    tags: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, hash=False)
    reference: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """A record that is left out: where it stands, and the field and problem, which such records share."""

    where: str
    reason: str


class Parsed(NamedTuple):
    """What `parse` made of records: examples, their format, and the records that were left out."""

    examples: list[Example]
    format: str
    refused: list[Refusal]


@contextlib.contextmanager
def named(example: Example) -> Iterator[None]:
    """Says in an error which record it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f'{example.where}: {error}') from None


def prompts(example: Example) -> tuple[Message, ...]:
    """The turns that the model answers: all up to the last answer, which is left out if there is one.

    Raises:
      InputError: the example is no conversation; which, is for `named` to say.
    """
    if not example.messages:
        raise InputError('plain text and token ids ask nothing; give prompts.source=file:PATH')
    return example.messages[:-1] if example.messages[-1].role == 'assistant' else example.messages


def parse(
    name: str,
    records: Sequence[Record],
    format: str = 'auto',
    columns: Mapping[str, str] | None = None,
    on_bad: str = 'error',
    labels: Mapping[str, str] | None = None,
) -> Parsed:
    """Makes examples of the records of one source.

    Args:
      name: of the source, for messages to the user.
      records: as they were read.
      format: one of `SHAPES`, or auto: told from the keys of the records.
      columns: field to the name it has in the records.
      on_bad: error, or skip: bad records are left out and listed.
      labels: file to the label that stands before its ids; none: ids are those of the records.

    Raises:
      InputError: no record can be used, or (on_bad='error') one is bad.
    """
    if not records:
        raise InputError(f'{name}: the file holds no record; it must be a JSON list of records, or one record a line')
    values = [_renamed(record.value, columns or {}) for record in records]
    if format == 'auto':
        format = _detect(name, values)
    examples: list[Example] = []
    refused: list[Refusal] = []
    seen: dict[str, str] = {}
    for record, value in zip(records, values, strict=True):
        try:
            content, own = _read(value, format, record.number)
            label = f'{labels[record.file]}:{own}' if labels else own
            if label in seen:
                raise BadRecord('id', 'is used twice', f'{own!r} is also at {seen[label]}: give each its own')
        except BadRecord as bad:
            if on_bad == 'error':
                raise InputError(f'{record.where}: {bad}') from None
            refused.append(Refusal(record.where, bad.reason))
            continue
        seen[label] = record.where
        about = _tags(value), _reference(value, format)
        examples.append(Example(label, content.messages, record.where, content.text, content.tokens, *about))
    if not examples:
        reasons = Counter(refusal.reason for refusal in refused).most_common(3)
        counts = ', '.join(f'{reason} ({count})' for reason, count in reasons)
        raise InputError(f'{name}: all {len(records)} records were refused as {format}: {counts}; correct the file')
    return Parsed(examples, format, refused)


def column_map(columns: Sequence[str]) -> dict[str, str]:
    """Field to column, from texts 'field=column'.

    Raises:
      InputError: no format has such a field, or one is given twice.
    """
    pairs = [column.partition('=')[::2] for column in columns]
    for field, column in pairs:
        if field not in FIELDS:
            raise InputError(f'columns has {field}={column}; fields are {", ".join(FIELDS)}')
    if len(dict(pairs)) < len(pairs):
        raise InputError(f'columns names a field twice: {", ".join(columns)}')
    return dict(pairs)


def _renamed(value: object, columns: Mapping[str, str]) -> object:
    if not columns or not isinstance(value, dict):
        return value
    others = {key: inner for key, inner in value.items() if key not in columns.values()}
    return others | {field: value[column] for field, column in columns.items() if column in value}


def _detect(name: str, values: Sequence[object]) -> str:
    sound = [value for value in values if isinstance(value, dict)]
    for absent in ((None, ''), (None,)):  # an empty text, as a table's column may be, tells a format only at last
        for value in sound:
            for format, (key, _) in SHAPES.items():
                if value.get(key) not in absent:
                    return format
    if not sound:
        problem = values[0].args if isinstance(values[0], ValueError) else ('is no object', 'write {"key": value, ...}')
        raise InputError(f'{name}: no record can be read; the first {problem[0]}; {problem[1]}')
    known = ', '.join(f'{format} records have {key!r}' for format, (key, _) in SHAPES.items())
    keys = ', '.join(sorted(map(str, sound[0])))
    found = f'no record has one; the first has the keys {keys}'
    raise InputError(f'{name}: unknown format: {known}; {found}; name the columns: columns=instruction=COLUMN')


def _read(value: object, format: str, number: int) -> tuple[Content, str]:
    """What a record says, and its id."""
    if isinstance(value, ValueError):
        raise BadRecord('record', *value.args)
    if not isinstance(value, dict):
        raise BadRecord('record', f'is {kind(value)}, not a JSON object', 'write it as {"key": value, ...}')
    return SHAPES[format][1](value), _id(value, number, format)


def _tags(value: object) -> dict[str, tuple[str, ...]]:
    found = {}
    for key, held in value.items() if isinstance(value, dict) else ():
        values = tuple(held) if isinstance(held, list) else (held,)
        short = all(isinstance(each, str) and 0 < len(each) <= _LONGEST_TAG for each in values)
        if key not in (*FIELDS, 'reference') and values and short:
            found[str(key)] = values
    return found


def _reference(value: object, format: str) -> tuple[str, ...]:
    held = value.get('reference') if format == 'turns' and isinstance(value, dict) else None
    return tuple(held) if isinstance(held, list) and all(isinstance(each, str) for each in held) else ()


def _id(value: dict, number: int, format: str) -> str:
    names = ('id', 'example_id', *(['question_id'] if format == 'turns' else []))
    field = next((name for name in names if value.get(name) not in (None, '')), '')
    if not field:
        return str(number)
    given = value[field]
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise BadRecord(field, f'is {kind(given)}', 'make it a number or a text, or leave it out')
    return text(value, field) if isinstance(given, str) else str(given)
