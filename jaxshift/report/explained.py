"""What the page shows of the analyses, and of what people said: a section each, written by a file of its own."""

from __future__ import annotations

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

_MOST_ROWS = 20  # of a table on the page


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


def shown(rows: Sequence[Row]) -> tuple[list[str], Sequence[Row], int, set[str]]:
    """Columns, the rows that the page shows, the number of those left to the files, and the columns that hold words."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    words = {column for column in columns if any(_is_word(row.get(column)) for row in rows)}
    return columns, rows[:_MOST_ROWS], len(rows[_MOST_ROWS:]), words


def _is_word(value: Any) -> bool:
    """Other texts are numbers with their intervals, or a dash."""
    return isinstance(value, str) and value[:1].isalpha()
