"""What the lines of a figure are, for the page to read them out under the pointer and along the arrow keys."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from jaxshift.report import style


def plot(figure: Figure) -> str:
    """The panels of a laid out figure that have named lines, as JSON; '' where none has.

    Each has its `box` (left, bottom, width, height as shares of the figure), for x and y its `name`, the `limits` and
    whether the axis is `log`, for x the `names` of places that it does not name by their number, and `lines`: name,
    `run` where it can be hidden (see `style.set_runs`), x and y of the points, whole numbers in full, others to four
    digits, and null where there is none.
    """
    panels = [panel for axes in figure.axes if axes.name == 'rectilinear' if (panel := _panel(axes))['lines']]
    return json.dumps(panels, separators=(',', ':'), ensure_ascii=False) if panels else ''


def _panel(axes: Axes) -> dict[str, Any]:
    named = [line for line in axes.lines if not str(line.get_label()).startswith('_')]
    return {
        'box': _rounded(axes.get_position().bounds),
        'x': {'name': _name(_x_label(axes)), **_axis(axes.xaxis), 'names': _names(axes.xaxis)},
        'y': {'name': _name(_y_label(axes)), **_axis(axes.yaxis)},
        'lines': [made for line in named if len((made := _line(line))['x']) > 1],
    }


def _line(line: Line2D) -> dict[str, Any]:
    points = np.asarray(line.get_xydata())
    name = style.unspelled(str(line.get_label())).replace(r'\$', '$')
    run = style.run_of(line)
    return {'name': name, 'x': _rounded(points[:, 0]), 'y': _rounded(points[:, 1])} | ({'run': run} if run else {})


def _axis(axis: Axis) -> dict[str, Any]:
    return {'limits': _rounded(axis.get_view_interval()), 'log': axis.get_scale() == 'log'}


def _names(axis: Axis) -> dict[str, str]:
    if not isinstance(axis.get_major_formatter(), FuncFormatter):  # the others write numbers
        return {}
    places = list(map(float, axis.get_majorticklocs()))
    told = zip(places, axis.get_major_formatter().format_ticks(places), strict=True)
    return {f'{place:g}': text for place, text in told if text != f'{place:g}'}


def _x_label(axes: Axes) -> str:
    """Of the panel, of one that shares its axis, or of the figure."""
    labels = [each.get_xlabel() for each in (axes, *axes.get_shared_x_axes().get_siblings(axes))]
    return next(filter(None, labels), axes.figure.get_supxlabel())


def _y_label(axes: Axes) -> str:
    """Of the panel, of one in its row, or else its title."""
    row = [each for each in axes.figure.axes if _rows(each) == _rows(axes)]
    return next(filter(None, [each.get_ylabel() for each in (axes, *row)]), axes.get_title('left'))


def _rows(axes: Axes) -> range | None:
    spec = axes.get_subplotspec()
    return None if spec is None else spec.rowspan


def _name(label: str) -> str:
    """In one line, without a remark in brackets at its end."""
    return style.unspelled(re.sub(r'\s\([^()]*\)$', '', label).replace('\n', ' ')).replace(r'\$', '$')


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [_digits(value) if math.isfinite(value) else None for value in map(float, values)]


def _digits(value: float) -> float:
    return int(value) if value.is_integer() else float(f'{value:.4g}')
