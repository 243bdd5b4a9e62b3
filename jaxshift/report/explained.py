"""What the page shows of the analyses: a section each, written by a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from jaxshift.report import drawings, style
from jaxshift.report.results import Results
from jaxshift.report.tables import Row

_MOST_ROWS = 20  # of a table on the page


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
      title: its heading.
      sentences: what was found, in words, each with its figures and their intervals.
      tables: rows by name; all are saved as tables/NAME.csv and .parquet, the page shows the first ones.
      figures: by name, each with its caption.
    """

    title: str
    sentences: Sequence[str]
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    figures: Mapping[str, tuple[Figure, str]] = field(default_factory=dict)


SECTIONS: tuple[Callable[[Results], Section | None], ...] = ()


def sections(found: Results) -> list[Section]:
    """Those that have something to show."""
    return [section for make in SECTIONS if (section := make(found))]


def draw(made: Sequence[Section], folder: Path) -> dict[str, Markup]:
    """Saves the figures; the SVGs by name."""
    drawn = {name: figure for section in made for name, (figure, _) in section.figures.items()}
    return {name: drawings.inline(style.save(figure, folder, name), name) for name, figure in drawn.items()}


def shown(rows: Sequence[Row]) -> tuple[list[str], Sequence[Row], int]:
    """Columns, the rows that the page shows, and the number of those left to the files."""
    return list(dict.fromkeys(key for row in rows for key in row)), rows[:_MOST_ROWS], len(rows[_MOST_ROWS:])
