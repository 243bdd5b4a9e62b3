"""What the page shows of the analyses, and of what people said: a section each, written by a file of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from jaxshift.report import (
    annotated,
    borrowing,
    drawings,
    dynamics,
    imitation,
    interpolation,
    knowledge,
    style_tokens,
    swaps,
    treatments,
    uncertainty,
    weights,
)
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row

_LONG = 24  # characters in a line of a table
_MOST_ROWS = 20  # of a table on the page
_NUMBER = re.compile(r'–?|[-−+]?[\d.,]+(e[-+]?\d+)?( ?%)?( \[.*\])?')  # in words: none, or one with its interval

SECTIONS: tuple[Callable[[Results], Section | None], ...] = (
    dynamics.section,
    style_tokens.section,
    imitation.section,
    borrowing.section,
    knowledge.knowledge,
    knowledge.forgetting,
    uncertainty.section,
    swaps.section,
    weights.section,
    interpolation.section,
    treatments.section,
    annotated.section,
)


def sections(found: Results) -> list[Section]:
    """Those that have something to show."""
    return [section for make in SECTIONS if (section := make(found))]


def draw(made: Sequence[Section], folder: Path) -> dict[str, Markup]:
    """Saves the figures; the SVGs by name."""
    drawn = {name: figure for section in made for name, (figure, _) in section.figures.items()}
    return {name: drawings.drawn(figure, folder, name) for name, figure in drawn.items()}


def shown(rows: Sequence[Row]) -> tuple[dict[str, str], Sequence[Row], int]:
    """Columns with their CSS classes, the rows that the page shows, and the number of those left to the files.

    The bounds of an interval, NAME_low and NAME_high, are no columns where there is a NAME: they stand below it.
    """
    columns = dict.fromkeys(key for row in rows for key in row)
    bounds = {f'{column}_{end}' for column in columns for end in ('low', 'high')}
    looks = {column: _look([row.get(column) for row in rows]) for column in columns if column not in bounds}
    return looks, rows[:_MOST_ROWS], len(rows[_MOST_ROWS:])


def headed(column: str) -> str:
    """A column's name in words; positions are told as the records count them."""
    return {'position': 'position, from 0'}.get(column, column.replace('_', ' '))


def _look(values: Sequence[Any]) -> str:
    """`words` of a column with texts that are no numbers, and `long` where one wants several lines."""
    said = [value for value in values if isinstance(value, str)]
    if all(_NUMBER.fullmatch(value) for value in said):
        return ''
    return 'words long' if max(map(len, said)) > _LONG else 'words'
