"""Reads instruction data: JSON or JSON Lines files of alpaca or messages records.

A record becomes an `Example`; a bad one is an error that names file, line, field and fix, or is counted by reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxshift.errors import InputError

FORMATS = ('alpaca', 'messages')


class Message(NamedTuple):
    """One turn: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """A conversation: at most one system turn, then user and assistant in turn.

    Attributes:
      id: the record's own `id` or `example_id`, else its index in the file, from 0.
      messages: the turns.
      where: 'file:line', or file and index of the record; for messages to the user.
    """

    id: str
    messages: tuple[Message, ...]
    where: str


class Records(NamedTuple):
    """What `read` found: the examples, the format they have, and how many records were refused for which reason."""

    examples: list[Example]
    format: str
    refused: Counter[str]


class _BadRecord(Exception):
    def __init__(self, field: str, problem: str, fix: str):
        super().__init__(f'{field}: {problem}; {fix}')
        numbers = r'\[\d+\]'
        self.reason = f'{re.sub(numbers, "", field)}: {problem}'


def prompts(example: Example) -> tuple[Message, ...]:
    """The turns that the model answers: all up to the last answer, which is left out if there is one."""
    return example.messages[:-1] if example.messages[-1].role == 'assistant' else example.messages


def read(path: str | Path, format: str = 'auto', on_bad: str = 'error', limit: int = 0) -> Records:
    """Reads a file of instruction data or of prompts.

    Args:
      path: a JSON list of records, or one JSON record a line.
      format: alpaca, messages, or auto: told from the keys of the records.
      on_bad: error, or skip: bad records are left out and counted.
      limit: read the first so many records; 0: all.

    Raises:
      InputError: the file cannot be read, holds no usable record, or (on_bad='error') holds a bad one.
    """
    if format not in ('auto', *FORMATS):
        raise InputError(f'unknown data format {format!r}; known are auto, {", ".join(FORMATS)}')
    records = []
    for record in _load(Path(path)):
        records.append(record)
        if len(records) == limit:
            break
    if not records:
        raise InputError(f'{path}: the file holds no record; it must be a JSON list of records, or one record a line')
    if format == 'auto':
        format = _detect(path, [value for _, value in records])
    examples, refused = [], Counter[str]()
    seen: dict[str, str] = {}
    for index, (where, value) in enumerate(records):
        try:
            example = _parse(value, format, index, where)
            if example.id in seen:
                raise _BadRecord(
                    'id', 'is used twice', f'{example.id!r} is also at {seen[example.id]}: give each its own'
                )
        except _BadRecord as bad:
            if on_bad == 'error':
                raise InputError(f'{where}: {bad}') from None
            refused[bad.reason] += 1
            continue
        seen[example.id] = where
        examples.append(example)
    if not examples:
        counts = ', '.join(f'{reason} ({count})' for reason, count in refused.most_common(3))
        raise InputError(f'{path}: all {len(records)} records were refused as {format}: {counts}; correct the file')
    return Records(examples, format, refused)


def _load(path: Path) -> Iterator[tuple[str, object]]:
    """Yields (where, record); a line that is not JSON comes as the `ValueError` it caused."""
    try:
        text = path.read_text(encoding='utf-8-sig')
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); give the path of a JSON or JSONL file') from None
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: byte {error.start} is not UTF-8; convert the file to UTF-8') from None
    if text.lstrip().startswith('['):
        try:
            records = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f'{path}: not a JSON list ({error}); correct it, or write one record a line') from None
        for index, record in enumerate(records):
            yield f'{path}: record {index} (the first is 0)', record
        return
    if text.strip() and not text.lstrip().startswith('{'):
        raise InputError(
            f'{path}: neither a JSON list of records nor one JSON record a line; convert it to one of them'
        )
    # Not splitlines: JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(text.split('\n'), start=1):
        if line.strip():
            try:
                yield f'{path}:{number}', json.loads(line)
            except (ValueError, RecursionError) as error:
                yield f'{path}:{number}', ValueError(str(error))


def _detect(path: str | Path, values: list[object]) -> str:
    keys: list[str] = []
    for value in values:
        if isinstance(value, dict):
            if 'messages' in value:
                return 'messages'
            if 'instruction' in value:
                return 'alpaca'
            keys = keys or sorted(map(str, value))
    found = f'no record has either; the first has the keys {", ".join(keys)}' if keys else 'no line is a JSON record'
    raise InputError(f"{path}: unknown format: alpaca records have 'instruction', messages records 'messages'; {found}")


def _parse(value: object, format: str, index: int, where: str) -> Example:
    if isinstance(value, ValueError):
        raise _BadRecord('record', 'is not JSON', f'{value}; each line must be one JSON record')
    if not isinstance(value, dict):
        raise _BadRecord('record', f'is {_name(value)}, not a JSON object', 'write it as {"key": value, ...}')
    messages = _alpaca(value) if format == 'alpaca' else _messages(value)
    field = 'id' if value.get('id') is not None else 'example_id'
    given = value.get(field)
    if given is None:
        return Example(str(index), messages, where)
    if isinstance(given, bool) or not isinstance(given, str | int) or given == '':
        raise _BadRecord(field, f'is {_name(given)}', 'make it a number or a text that is not empty, or leave it out')
    return Example(_text(value, field) if isinstance(given, str) else str(given), messages, where)


def _alpaca(record: dict) -> tuple[Message, ...]:
    if 'instruction' not in record:
        raise _BadRecord(
            'instruction', 'is missing', 'an alpaca record needs instruction, and may have input and output'
        )
    question = '\n'.join(part for part in (_text(record, 'instruction'), _text(record, 'input')) if part)
    if not question:
        raise _BadRecord('instruction', 'is empty', 'write the question, or remove the record')
    system = _text(record, 'system')
    turns = [Message('system', system)] if system else []
    history = record.get('history') or []
    if not isinstance(history, list):
        raise _BadRecord('history', f'is {_name(history)}, not a list', 'make it [[question, answer], ...]')
    for number, pair in enumerate(history):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise _BadRecord(f'history[{number}]', 'is not a pair of texts', 'make it [question, answer]')
        turns += [Message('user', _valid(pair[0], 'history')), Message('assistant', _valid(pair[1], 'history'))]
    turns.append(Message('user', question))
    if record.get('output') is not None:
        turns.append(Message('assistant', _text(record, 'output')))
    return tuple(turns)


def _messages(record: dict) -> tuple[Message, ...]:
    given = record.get('messages')
    if not isinstance(given, list) or not given:
        problem = 'is an empty list' if given == [] else f'is {_name(given)}, not a list'
        raise _BadRecord('messages', problem, 'make it [{"role": ..., "content": ...}, ...]')
    turns: list[Message] = []
    for number, item in enumerate(given):
        field = f'messages[{number}]'
        if not isinstance(item, dict):
            raise _BadRecord(field, f'is {_name(item)}, not an object', 'make it {"role": ..., "content": ...}')
        if item.get('role') not in ('system', 'user', 'assistant'):
            known = 'roles are system, user and assistant'
            raise _BadRecord(f'{field}.role', f'{item.get("role")!r} is not known', known)
        if not isinstance(item.get('content'), str):
            raise _BadRecord(f'{field}.content', f'is {_name(item.get("content"))}, not a text', 'write plain text')
        turns.append(Message(item['role'], _valid(item['content'], f'{field}.content')))
    asked = [turn.role for turn in turns[turns[0].role == 'system' :]]
    expected = ['user', 'assistant'] * (len(asked) // 2 + 1)
    if not asked or asked != expected[: len(asked)]:
        fix = 'a system turn may come first, then user and assistant take turns'
        raise _BadRecord('messages', f'has the roles {", ".join(turn.role for turn in turns)}', fix)
    return tuple(turns)


def _text(record: dict, field: str) -> str:
    value = record.get(field)
    if value is not None and not isinstance(value, str):
        raise _BadRecord(field, f'is {_name(value)}, not a text', 'write it in quotes, or leave it out')
    return _valid(value or '', field)


def _valid(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = 'holds half of a surrogate pair'
        raise _BadRecord(field, problem, f'correct the \\u escape at character {error.start}') from None
    return text


def _name(value: object) -> str:
    names = {
        dict: 'an object',
        list: 'a list',
        str: 'a text',
        bool: 'true or false',
        int: 'a number',
        float: 'a number',
    }
    return 'an empty text' if value == '' else names.get(type(value), 'null')
