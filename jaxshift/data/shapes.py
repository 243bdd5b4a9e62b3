"""What a record of each format says: a conversation, a plain text, or tokens that somebody else has made.

Lists may also be given as their JSON text, which is how a CSV cell holds them. A prompt or completion that is the JSON
text of turns is those turns; any other text is taken as it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

NO_LOSS = -100  # the label of a token that is not trained, in torch and so in everyone's files
_SHAREGPT_ROLES = {
    'human': 'user', 'user': 'user', 'gpt': 'assistant', 'assistant': 'assistant', 'function_call': 'assistant',
    'system': 'system', 'observation': 'tool', 'tool': 'tool',
}  # fmt: skip
_NOT_REPRESENTED = ('tool_calls', 'function_call', 'reasoning_content')  # of a turn
_MESSAGE_ROLES = {role: role for role in ('system', 'user', 'assistant', 'tool')}


class Message(NamedTuple):
    """One turn: `role` is system, user, assistant or tool (what a tool answered)."""

    role: str
    content: str


class Tokens(NamedTuple):
    """Token ids, and which of them are targets of the loss."""

    ids: list[int]
    trained: list[bool]


class Content(NamedTuple):
    """What a record says: one of these, the others are empty."""

    messages: tuple[Message, ...] = ()
    text: str = ''
    tokens: Tokens | None = None


class BadRecord(Exception):
    """A record at fault: the field, what is wrong with it, and what to do. `reason` is what such records share."""

    def __init__(self, field: str, problem: str, fix: str):
        super().__init__(f'{field}: {problem}; {fix}')
        numbers = r'\[\d+\]'
        self.reason = f'{re.sub(numbers, "", field)}: {problem}'


def _alpaca(record: dict) -> Content:
    question = '\n'.join(part for part in (asked(record, 'instruction'), text(record, 'input')) if part)
    system = text(record, 'system')
    turns = [Message('system', system)] if system else []
    for number, pair in enumerate(_list(record, 'history', '[[question, answer], ...]', [])):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise BadRecord(f'history[{number}]', 'is not a pair of texts', 'make it [question, answer]')
        turns += [Message('user', _valid(pair[0], 'history')), Message('assistant', _valid(pair[1], 'history'))]
    return Content((*turns, Message('user', question), *_answer(record, 'output')))


def _question_answer(record: dict) -> Content:
    return Content((Message('user', asked(record, 'question')), *_answer(record, 'answer')))


def _prompt_completion(record: dict) -> Content:
    if _holds_turns(record.get('prompt')):
        turns = _turns(record, 'prompt', 'role', 'content', _MESSAGE_ROLES)
    else:
        turns = [Message('user', asked(record, 'prompt'))]
    if _holds_turns(record.get('completion')):
        turns += _turns(record, 'completion', 'role', 'content', _MESSAGE_ROLES)
    else:
        turns += _answer(record, 'completion')
    return Content(_in_turn(turns, 'prompt'))


def _holds_turns(value: object) -> bool:
    if isinstance(value, str) and value.lstrip().startswith('['):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
        return isinstance(value, list) and bool(value) and all(isinstance(x, dict) and 'role' in x for x in value)
    return not isinstance(value, str | None)


def _messages(record: dict) -> Content:
    _refuse_tools(record)
    return Content(_in_turn(_turns(record, 'messages', 'role', 'content', _MESSAGE_ROLES), 'messages'))


def _sharegpt(record: dict) -> Content:
    _refuse_tools(record)
    system = text(record, 'system')
    first = [Message('system', system)] if system else []
    items = record.get('conversations')
    spelled = isinstance(items, list) and any(isinstance(item, dict) and 'role' in item for item in items)
    keys = ('role', 'content') if spelled else ('from', 'value')  # some sets have the keys of messages
    turns = _turns(record, 'conversations', *keys, _SHAREGPT_ROLES)
    return Content(_in_turn([*first, *turns], 'conversations'))


def _tokenised(record: dict) -> Content:
    ids, labels = (_list(record, field, 'a list of token ids') for field in ('input_ids', 'labels'))
    for field, values in (('input_ids', ids), ('labels', labels)):
        if not all(type(value) is int for value in values):
            raise BadRecord(field, 'holds what is no whole number', 'write token ids')
    if len(ids) != len(labels):
        raise BadRecord('labels', 'has another length than input_ids', f'give {len(ids)}, not {len(labels)}')
    for number, (token, label) in enumerate(zip(ids, labels, strict=True)):
        if label not in (token, NO_LOSS):
            fix = f'make it {NO_LOSS} or {token}; labels are not shifted'
            raise BadRecord(f'labels[{number}]', 'is not the token at its place', fix)
    trained = [label != NO_LOSS for label in labels]
    if not any(trained[1:]):  # the first token has nothing to be predicted from
        raise BadRecord('labels', 'train no token behind the first', 'put the ids of the answer there')
    if all(trained):
        raise BadRecord('labels', 'train every token', f'write {NO_LOSS} for the question, or give plain text')
    return Content(tokens=Tokens(ids, trained))


def _questions(record: dict) -> Content:
    """The first turn of MT-bench's alone: a later one asks about an answer that is not there yet."""
    return Content((Message('user', asked({'turns[0]': _list(record, 'turns', '[question, ...]')[0]}, 'turns[0]')),))


def _plain_text(record: dict) -> Content:
    return Content(text=asked(record, 'text'))


# The key that tells a format, and how its records are read; of two keys in one record the first here counts.
SHAPES: dict[str, tuple[str, Callable[[dict], Content]]] = {
    'messages': ('messages', _messages),
    'sharegpt': ('conversations', _sharegpt),
    'alpaca': ('instruction', _alpaca),
    'tokenised': ('input_ids', _tokenised),
    'prompt_completion': ('prompt', _prompt_completion),
    'question_answer': ('question', _question_answer),
    'turns': ('turns', _questions),
    'text': ('text', _plain_text),
}
FIELDS = (
    'id', 'example_id', 'messages', 'conversations', 'system', 'tools', 'functions', 'instruction', 'input', 'output',
    'history', 'input_ids', 'labels', 'prompt', 'completion', 'question', 'answer', 'question_id', 'turns', 'text',
)  # fmt: skip


def _turns(record: dict, field: str, role_key: str, content_key: str, roles: dict[str, str]) -> list[Message]:
    shape = f'[{{"{role_key}": ..., "{content_key}": ...}}, ...]'
    turns = []
    for number, item in enumerate(_list(record, field, shape)):
        name = f'{field}[{number}]'
        if not isinstance(item, dict):
            raise BadRecord(name, f'is {kind(item)}, not an object', f'make it {shape[1:-6]}')
        role = item.get(role_key)
        if not isinstance(role, str) or role not in roles:
            raise BadRecord(f'{name}.{role_key}', f'{role!r} is not known', f'roles are {", ".join(roles)}')
        for key in _NOT_REPRESENTED:
            if item.get(key):
                fix = 'write it into the text of the turn, or leave the record out'
                raise BadRecord(f'{name}.{key}', 'cannot be represented', fix)
        if item.get('weight') == 0:
            fix = 'every answer is trained; leave the turn or the record out'
            raise BadRecord(f'{name}.weight', 'is 0, an answer that is not trained', fix)
        content = item.get(content_key)
        if not isinstance(content, str):
            raise BadRecord(f'{name}.{content_key}', f'is {kind(content)}, not a text', 'write plain text')
        turns.append(Message(roles[role], _valid(content, f'{name}.{content_key}')))
    return turns


def _in_turn(turns: list[Message], field: str) -> tuple[Message, ...]:
    spoken = [turn.role for turn in turns[turns[0].role == 'system' :]]
    wrong = [
        role for number, role in enumerate(spoken) if (role == 'assistant') != bool(number % 2) or role == 'system'
    ]
    if not spoken or wrong or spoken[0] == 'tool':
        fix = 'a system turn may come first, then user (or tool) and assistant take turns'
        raise BadRecord(field, f'has the roles {", ".join(turn.role for turn in turns)}', fix)
    return tuple(turns)


def _refuse_tools(record: dict) -> None:
    for field in ('tools', 'functions'):
        if record.get(field) not in (None, '', '[]', []):
            raise BadRecord(field, 'cannot be represented', 'write them into the system turn, or leave the record out')


def _answer(record: dict, field: str) -> list[Message]:
    """None where the field is missing: the record is a prompt."""
    return [] if record.get(field) is None else [Message('assistant', text(record, field))]


def asked(record: dict, field: str) -> str:
    """A text that a record must have."""
    if record.get(field) is None:
        raise BadRecord(field, 'is missing', f'write it, or name the column that holds it: columns={field}=COLUMN')
    if not text(record, field):
        raise BadRecord(field, 'is empty', 'write it, or remove the record')
    return text(record, field)


def text(record: dict, field: str) -> str:
    """A text that a record may have."""
    value = record.get(field)
    if value is not None and not isinstance(value, str):
        raise BadRecord(field, f'is {kind(value)}, not a text', 'write it in quotes, or leave it out')
    return _valid(value or '', field)


def _list(record: dict, field: str, shape: str, default: list | None = None) -> list:
    value = record.get(field)
    if isinstance(value, str) and value.lstrip().startswith('['):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadRecord(field, 'is not JSON', f'{error}; make it {shape}') from None
    if isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        # A sequence of objects, as TFDS and some Hugging Face data sets hold it: a list for each of their keys.
        if len({len(column) for column in value.values()}) > 1:
            raise BadRecord(field, 'has lists of several lengths', f'make it {shape}')
        value = [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    if not value and default is not None:
        return default
    if not isinstance(value, list) or not value:
        problem = 'is an empty list' if value == [] else f'is {kind(value)}, not a list'
        raise BadRecord(field, problem, f'make it {shape}')
    return value


def _valid(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = 'holds half of a surrogate pair'
        raise BadRecord(field, problem, f'correct the \\u escape at character {error.start}') from None
    return text


def kind(value: object) -> str:
    """What a value is, in words for the user."""
    names = {
        dict: 'an object', list: 'a list', str: 'a text', bool: 'true or false', int: 'a number', float: 'a number',
        type(None): 'null',
    }  # fmt: skip
    return 'an empty text' if value == '' else names.get(type(value), f'of type {type(value).__name__}')
