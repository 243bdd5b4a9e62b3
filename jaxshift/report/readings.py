"""What the lines of a figure are, for the page to read them out under the pointer."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def plot(figure: Figure) -> str:
    """The panels of a laid out figure that have named lines, as JSON; '' where none has.

    Each has its `box` (left, bottom, width, height as shares of the figure), for x and y the `limits` and whether the
    axis is `log`, and `lines`: name, x and y of the points, to four digits and null where there is none.
    """
    panels = [panel for axes in figure.axes if axes.name == 'rectilinear' if (panel := _panel(axes))['lines']]
    return json.dumps(panels, separators=(',', ':'), ensure_ascii=False) if panels else ''


def _panel(axes: Axes) -> dict:
    named = [line for line in axes.lines if not str(line.get_label()).startswith('_') and len(line.get_xdata()) > 1]
    return {
        'box': _rounded(axes.get_position().bounds),
        'x': {'limits': _rounded(axes.get_xlim()), 'log': axes.get_xscale() == 'log'},
        'y': {'limits': _rounded(axes.get_ylim()), 'log': axes.get_yscale() == 'log'},
        'lines': [
            {
                'name': str(line.get_label()).replace(r'\$', '$'),
                'x': _rounded(line.get_xdata()),
                'y': _rounded(line.get_ydata()),
            }
            for line in named
        ],
    }


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [float(f'{value:.4g}') if math.isfinite(value) else None for value in map(float, values)]
