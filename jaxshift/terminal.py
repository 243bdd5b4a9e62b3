"""What a person sees while it works: bars and tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

import functools
import sys
import textwrap
import time
from collections.abc import Collection, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from jaxshift.devices import process
from jaxshift.lines import aligned, inert

EVERY = 10.0  # seconds between plain lines

T = TypeVar('T')


def say(line: str) -> None:
    """Prints a line at once, on the process that leads; the others are heard when they fail.

    It may hold texts of the data, so control characters are written out.
    """
    if process.leads():
        print(inert(line), flush=True)


def screen() -> Console | None:
    """The terminal, where one is there that can do more than print lines."""
    return _console() if sys.stdout.isatty() and not _console().is_dumb_terminal else None


@functools.cache
def _console() -> Console:
    """One for the whole process, so that bars within bars stand below each other."""
    return Console(highlight=False)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows, the first of which are headings; on a terminal that is too narrow each row as a list.

    The process that leads prints.
    """
    heading, *lines = aligned(rows)
    console = screen()
    if console is None or not process.leads():
        for line in (heading, *lines):
            say(line)
    elif max(map(cell_len, (heading, *lines))) <= console.width:
        console.print(Text(inert(heading), 'bold'))
        for line in lines:
            say(line)
    else:
        for name, *cells in rows[1:]:
            told = ', '.join(f'{title} {cell}' for title, cell in zip(rows[0][1:], cells, strict=True))
            say(textwrap.fill(f'{name}: {told}', console.width, subsequent_indent='  '))


class _Note(ProgressColumn):
    """What is said beside a bar, in one line."""

    def render(self, task: Task) -> Text:
        return Text(task.fields['note'], no_wrap=True, overflow='ellipsis')


class Bar:
    """Progress of one stage: `with Bar('train lora') as bar: bar(done, total, 'loss 1.23')`.

    `brief`: nothing of it stays; where there is no terminal, nothing is said of work that ends within `EVERY` seconds.
    """

    def __init__(self, title: str, brief: bool = False):
        self._title, self._brief = title, brief
        self._rich: Progress | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Bar:
        if (console := screen()) and process.leads():
            shown: dict[str, Any] = {'console': console, 'transient': self._brief}
            # On a narrow terminal the bar and the note give way.
            title = TextColumn('{task.description}', markup=False)
            count = MofNCompleteColumn(table_column=Column(no_wrap=True))
            left = TimeRemainingColumn(True, elapsed_when_finished=True, table_column=Column(no_wrap=True))
            self._rich = Progress(title, BarColumn(), count, left, _Note(table_column=Column()), **shown)
            self._rich.start()
            self._task = self._rich.add_task(self._title, total=None, note='')
        return self

    def __call__(self, done: int, total: int, note: str = '') -> None:
        if self._rich:
            self._rich.update(self._task, completed=done, total=total, note=note)
        elif (done == total and not self._brief) or time.monotonic() - self._last >= EVERY:
            self._last, self._brief = time.monotonic(), False
            say(f'{self._title}: {done}/{total} {note}'.rstrip())

    def over(self, items: Collection[T]) -> Iterator[T]:
        """The items one after the other, counted when the next is asked for."""
        for done, item in enumerate(items, start=1):
            yield item
            self(done, len(items))

    def step(self, done: int, total: int, row: dict[str, float]) -> None:
        """The same for a row of training metrics."""
        self(done, total, f'loss {row["loss"]:.3f}, {row["tokens_per_second"]:.0f} trained tokens/s')

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if self._rich:
            self._rich.stop()
