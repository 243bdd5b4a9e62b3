"""Calls that were made and replies that were paid for, in a file that only grows: no restart spends anything twice.

A call has a line before it is sent, with the most that it can cost, and a second line where a reply came or where it
turned out to be free, with what this changes. So the lines add up to no less than what was spent, wherever a kill cuts
the file. A call that has no second line may have been billed: it stays counted, and its question, which nobody has
answered, is asked again by a call of its own.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, NamedTuple

from jaxshift.errors import InputError
from jaxshift.judge.rubric import Messages
from jaxshift.store import jsonl


class Reply(NamedTuple):
    """What a judge replied: its text, and whether its server says that it declined, or was cut at the most tokens."""

    text: str
    refused: bool = False
    cut: bool = False


def key(model: str, messages: Messages, parameters: dict[str, Any]) -> str:
    """SHA-256 of all that a reply depends on."""
    return hashlib.sha256(json.dumps([model, messages, parameters], sort_keys=True).encode()).hexdigest()


class Cache:
    """The calls and replies of a workdir's judges, by key; several threads may use it.

    Attributes:
      calls: sent and not free, of this start and of all before.
      cost: of these calls, by the prices at their time; the most it can be of those without a reply.
      unanswered: those without a reply, because they are on their way, took too long, or died with the program.
    """

    def __init__(self, path: Path):
        """Opens `path` or begins it.

        Raises:
          InputError: names the line that is of no call.
        """
        self._lock = threading.Lock()
        self._replies: dict[str, Reply] = {}
        self.calls, self.cost, self.unanswered = 0, 0.0, 0
        jsonl.mend(path)
        for number, row in enumerate(jsonl.read(path), 1):
            try:
                self._take(row)
            except (KeyError, TypeError) as error:
                raise InputError(
                    f'{path}:{number}: not a call to a judge ({error}); move the file away, and what it counts is '
                    'spent anew'
                ) from error
        self._file = path.open('a', encoding='utf-8')

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def get(self, name: str) -> Reply | None:
        with self._lock:
            return self._replies.get(name)

    def sent(self, name: str, model: str, most: float) -> None:
        """A call that is about to be sent, counted at the most it can cost from here on."""
        self._add({'key': name, 'model': model, 'calls': 1, 'cost': most})

    def replied(self, name: str, reply: Reply, usage: dict[str, int], cost: float) -> None:
        """It was answered, and `cost` is to be added to what it was counted at."""
        self._add({'key': name, 'calls': 0, 'cost': cost, 'reply': reply._asdict(), 'usage': usage})

    def free(self, name: str, most: float) -> None:
        """It cost nothing: it was not sent after all, or refused."""
        self._add({'key': name, 'calls': -1, 'cost': -most})

    def _add(self, row: dict[str, Any]) -> None:
        """Appends a line and flushes, so that it outlives the process."""
        with self._lock:
            self._file.write(jsonl.line(row))
            self._file.flush()
            self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        self.calls += row['calls']
        self.cost += row['cost']
        self.unanswered += 1 if row['calls'] > 0 else -1
        if 'reply' in row:
            self._replies[row['key']] = Reply(**row['reply'])
