"""What an analysis gives the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from jaxshift.report.tables import Row


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
