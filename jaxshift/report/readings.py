"""What the lines of a figure are, for the page to read them out under the pointer."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import numpy as np
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
    named = [
        (str(line.get_label()), np.asarray(line.get_xydata()))
        for line in axes.lines
        if not str(line.get_label()).startswith('_')
    ]
    return {
        'box': _rounded(axes.get_position().bounds),
        'x': {'limits': _rounded(axes.get_xlim()), 'log': axes.get_xscale() == 'log'},
        'y': {'limits': _rounded(axes.get_ylim()), 'log': axes.get_yscale() == 'log'},
        'lines': [
            {'name': name.replace(r'\$', '$'), 'x': _rounded(points[:, 0]), 'y': _rounded(points[:, 1])}
            for name, points in named
            if len(points) > 1
        ],
    }


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [float(f'{value:.4g}') if math.isfinite(value) else None for value in map(float, values)]
