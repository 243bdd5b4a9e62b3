"""What a person sees while it works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jaxshift.devices import process
from jaxshift.lines import inert

EVERY = 10.0  # seconds between plain lines


def say(line: str) -> None:
    """Prints a line at once, on the process that leads; the others are heard when they fail.

    It may hold texts of the data, so control characters are written out.
    """
    if process.leads():
        print(inert(line), flush=True)


class Bar:
    """Progress of one stage: `with Bar('train lora') as bar: bar(done, total, 'loss 1.23')`."""

    def __init__(self, title: str):
        self._title = title
        self._rich: Progress | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Bar:
        if sys.stdout.isatty() and process.leads():
            columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._rich = Progress(*columns, TextColumn('{task.fields[note]}'))
            self._rich.start()
            self._task = self._rich.add_task(self._title, total=None, note='')
        return self

    def __call__(self, done: int, total: int, note: str = '') -> None:
        if self._rich:
            self._rich.update(self._task, completed=done, total=total, note=note)
        elif done == total or time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            say(f'{self._title}: {done}/{total} {note}'.rstrip())

    def step(self, done: int, total: int, row: dict[str, float]) -> None:
        """The same for a row of training metrics."""
        self(done, total, f'loss {row["loss"]:.3f}, {row["tokens_per_second"]:.0f} trained tokens/s')

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if self._rich:
            self._rich.stop()
