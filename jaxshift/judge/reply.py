"""Reading a judge's reply: the one JSON object that was asked for, or nothing; no score is ever guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from jaxshift.judge.judgement import HIGHEST, LOWEST
from jaxshift.judge.rubric import EVEN, FIRST, SECOND, encodable

Scores = dict[str, tuple[int, str]]  # aspect to score and reason, '' where none is given

_REFUSAL = re.compile(
    r"\W*(?:(?:i['’]?\s?a?m|we['’]?\s?a?re) (?:very )?sorry|sorry|i apologi[sz]e|as an ai\b"
    r"|(?:i|we) (?:can['’]?t|cannot|can not|won['’]?t|will not|am not able|am unable|must decline|decline)"
    r"|i['’]m (?:not able|unable))",
    re.IGNORECASE,
)


def scores(text: str, aspects: Sequence[str]) -> Scores | None:
    """The scores of a reply, or None: an aspect is missing, a score is no whole number from 1 to 5, or the reply
    holds two objects with scores that differ, of which nobody knows which one is meant.

    The object may stand in a code fence or in prose, and may have more keys than were asked for.
    """
    return _one([found for each in _objects(text) if (found := _scores(each, aspects))])


def winner(text: str) -> tuple[str, str] | None:
    """A, B or C (neither), and the reason; None on the same terms as `scores`."""
    found = [each for each in _objects(text) if each.get('winner') in (FIRST, SECOND, EVEN)]
    return _one([(each['winner'], _text(each.get('reason'))) for each in found])


def is_refusal(text: str) -> bool:
    """Whether a reply without scores declines to judge: begins as such replies do, and holds no JSON object."""
    return bool(_REFUSAL.match(_thought(text))) and '{' not in text


def _one(found: list[Any]) -> Any | None:
    return found[0] if found and all(each == found[0] for each in found) else None


def _scores(found: dict[str, Any], aspects: Sequence[str]) -> Scores | None:
    read = {}
    for aspect in aspects:
        value: Any = found.get(aspect)
        reason = ''
        if isinstance(value, dict):
            value, reason = value.get('score'), _text(value.get('reason'))
        if type(value) not in (int, float) or value not in range(LOWEST, HIGHEST + 1):
            return None
        read[aspect] = int(value), reason
    return read


def _text(value: Any) -> str:
    return encodable(value) if isinstance(value, str) else ''


def _thought(text: str) -> str:
    """What a model says behind its thoughts."""
    return text.rpartition('</think>')[2]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a text, not those inside them, nor those of a model's thoughts before its reply."""
    text = _thought(text)
    decoder, start = json.JSONDecoder(object_pairs_hook=_once), text.find('{')
    while start >= 0:
        try:
            found, end = decoder.raw_decode(text, start)
            yield found
        except RecursionError:
            return  # a thousand objects in each other are no reply, and each of them would be tried
        except ValueError:
            end = start + 1
        start = text.find('{', end)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one that gives a key twice says two things, so nothing."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError('a key is given twice')
    return dict(pairs)
