"""Lines for a terminal: texts of strangers made inert, rows aligned, pieces filled in. No jax: errors are instant."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, chop_cells

# Controls, of the terminal and of the direction of writing; lone surrogates, which have no bytes; line separators.
_COMMANDS = ('Cc', 'Cf', 'Cs', 'Zl', 'Zp')
_JOINERS = '\u200c\u200d'  # Persian, Indic scripts and emoji need them; they command nothing
NARROW = 28  # columns that a text needs at least beside its name


def inert(text: str, kept: str = '\n\t') -> str:
    r"""The text with every control character but those `kept` written out, as \x1b: none reaches the terminal."""
    if text.isprintable():
        return text
    return ''.join(
        char if char in kept or char in _JOINERS or unicodedata.category(char) not in _COMMANDS
        else char.encode('unicode_escape', 'surrogatepass').decode()
        for char in text
    )  # fmt: skip


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, cells below each other; Chinese characters take two columns."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        '  '.join(cell + ' ' * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def described(items: Iterable[tuple[str, str]], width: int, column: int = 0) -> Iterator[str]:
    """Names below each other, at least `column` wide, and what they mean, in lines of `width` columns.

    It stands beside them, or where the lines are narrow below them.
    """
    pairs = list(items)
    column = max([column, *(len(name) for name, _ in pairs)])
    for name, note in pairs:
        if width < column + NARROW:
            yield from (f'  {name}', *folded(note, width, 6))
            continue
        start = f'  {name:{column}}  '
        yield from textwrap.wrap(note, width, initial_indent=start, subsequent_indent=' ' * len(start)) or [f'  {name}']


def folded(text: str, width: int, indent: int) -> list[str]:
    """Words in lines of `width` columns; those after the first begin a little further to the right."""
    start = ' ' * indent
    return textwrap.wrap(text, width, initial_indent=start, subsequent_indent=f'{start}  ', break_on_hyphens=False)


def filled(pieces: Sequence[str], width: int) -> list[str]:
    """The pieces in lines of at most so many columns; cut between pieces, and after a line end.

    A piece that is wider than a line is cut anywhere.
    """
    lines, room = [''], width
    for piece in pieces:
        *whole, rest = piece.split('\n')
        parts = [(part, True) for part in whole] + [(rest, False)]
        for part, ends in parts:
            for chopped in chop_cells(part, width) if cell_len(part) > width else [part]:
                if cell_len(chopped) > room:
                    lines.append('')
                    room = width
                lines[-1] += chopped
                room -= cell_len(chopped)
            if ends:
                lines.append('')
                room = width
    return lines if lines[-1] else lines[:-1]
