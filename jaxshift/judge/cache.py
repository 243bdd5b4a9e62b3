"""Replies that were paid for, in a file that grows by a line a call: no restart spends anything twice."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, NamedTuple

from jaxshift.judge.rubric import Messages
from jaxshift.store import jsonl


class Reply(NamedTuple):
    """What a judge replied: its text, and whether its server says that it declined."""

    text: str
    refused: bool = False


def key(model: str, messages: Messages, parameters: dict[str, Any]) -> str:
    """SHA-256 of all that a reply depends on."""
    return hashlib.sha256(json.dumps([model, messages, parameters], sort_keys=True).encode()).hexdigest()


class Cache:
    """The replies of a workdir's judges, by key; several threads may use it.

    A call that was sent and never answered has a line too, without a reply: it may have been paid for.

    Attributes:
      calls: lines, of this start and of all before.
      cost: of these calls, by the prices at their time.
    """

    def __init__(self, path: Path):
        """Opens `path` or begins it; a last line that was cut off by a kill is no call that was answered."""
        self._lock = threading.Lock()
        self._replies: dict[str, Reply] = {}
        jsonl.mend(path)
        self.calls, self.cost = 0, 0.0
        for row in jsonl.read(path):
            self._take(row)
        self._file = path.open('a', encoding='utf-8')

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def get(self, name: str) -> Reply | None:
        with self._lock:
            return self._replies.get(name)

    def add(self, name: str, model: str, reply: Reply | None, usage: dict[str, int], cost: float) -> None:
        """Appends a call and flushes, so that it outlives the process; None: no reply came, but it may be billed."""
        row = {'key': name, 'model': model, 'reply': reply and reply._asdict(), 'usage': usage, 'cost': cost}
        with self._lock:
            self._file.write(jsonl.line(row))
            self._file.flush()
            self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        self.calls += 1
        self.cost += row['cost']
        if row['reply']:
            self._replies[row['key']] = Reply(**row['reply'])
