"""Figures of what one judge says; rows are those of `judged.tables`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from jaxshift.judge.judgement import ASPECTS, HIGHEST, LOWEST
from jaxshift.report import style

Row = Mapping[str, Any]

_IN_A_ROW = 3  # panels


@style.styled
def radar(rows: Sequence[Row], methods: Mapping[str, str]) -> Figure:
    """Mean scores of each run around a circle, one spoke an aspect, as in Figures 3 and 4 of arXiv 2402.05119.

    A run without a score of some aspect has a gap there. The centre is the lowest score; areas mean nothing, since they
    hang on the order of the spokes.
    """
    spokes = [aspect for aspect in ASPECTS if any(row['aspect'] == aspect for row in rows)]
    angles = 2 * math.pi * np.arange(len(spokes) + 1) / len(spokes)
    figure = Figure(figsize=(style.WIDTH, 4.4))
    polar = figure.add_subplot(projection='polar', theta_offset=math.pi / 2, theta_direction=-1)
    axes = cast(PolarAxes, polar)
    for run, look in _looks(rows, methods).items():
        score = {row['aspect']: row['score'] for row in rows if row['run'] == run}
        around = [score.get(aspect, math.nan) for aspect in (*spokes, spokes[0])]
        axes.plot(angles, around, label=style.label(run), clip_on=False, **look)
    axes.set_xticks(angles[:-1], spokes)
    for text, angle in zip(axes.get_xticklabels(), angles, strict=False):
        side = math.sin(angle)
        text.set_horizontalalignment('center' if abs(side) < 0.1 else 'left' if side > 0 else 'right')
    axes.set_rlim(LOWEST, HIGHEST)
    axes.set_rticks(range(LOWEST, HIGHEST + 1))
    axes.set_rlabel_position(180 / len(spokes))  # between two spokes
    figure.legend(loc='outside right upper')
    return figure


@style.styled
def means(rows: Sequence[Row], methods: Mapping[str, str]) -> Figure:
    """Mean scores with their intervals: one panel an aspect, one line a run."""
    looks = _looks(rows, methods)
    figure, panels = _panels(rows, len(looks))
    for aspect, axes in panels.items():
        for row in (row for row in rows if row['aspect'] == aspect):
            look = {key: looks[row['run']][key] for key in ('color', 'marker')}
            axes.errorbar(row['score'], list(looks).index(row['run']), xerr=style.errors(row, 'score'), capsize=3,
                          linestyle='none', clip_on=False, **look)  # fmt: skip
        style.names_axis(axes, [style.label(run) for run in looks])
    figure.supxlabel('mean score; bars: 95 % intervals over prompts', fontsize=8)
    return figure


@style.styled
def differences(pairs: Sequence[Row]) -> Figure:
    """Paired differences with intervals, as they are and at equal length: one panel an aspect, one line a pair."""
    runs = list(dict.fromkeys((row['first'], row['second']) for row in pairs))
    figure, panels = _panels(pairs, len(runs))
    for aspect, axes in panels.items():
        axes.axvline(0, color=style.GREY, linewidth=1)
        for row in (row for row in pairs if row['aspect'] == aspect):
            place = runs.index((row['first'], row['second']))
            for column, shift, fill in (('difference', -0.13, style.GREY), ('at_equal_length', 0.13, 'white')):
                if row[column] is not None:
                    axes.errorbar(row[column], place + shift, xerr=style.errors(row, column), marker='o', capsize=3,
                                  color=style.GREY, markerfacecolor=fill, clip_on=False)  # fmt: skip
        style.names_axis(axes, [style.label(f'{first} − {second}') for first, second in runs])
    figure.supxlabel(
        'difference of scores on the same prompts; filled: as scored; hollow: at equal length; bars: 95 % intervals',
        fontsize=8,
    )
    return figure


def _looks(rows: Sequence[Row], methods: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """A run has the colour, marker and dashes that it has in all figures."""
    shown = {row['run'] for row in rows}
    return {run: look for run, look in style.run_styles(methods).items() if run in shown}


def _panels(rows: Sequence[Row], lines: int) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel for each aspect."""
    aspects = list(dict.fromkeys(row['aspect'] for row in rows))
    across = min(_IN_A_ROW, len(aspects))
    down = math.ceil(len(aspects) / across)
    figure = Figure(figsize=(style.WIDTH, 0.5 + down * (0.7 + 0.3 * lines)))
    gaps = {'wspace': 0.06}
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False, gridspec_kw=gaps).flatten().tolist()
    panels = dict(zip(aspects, grid, strict=False))
    for aspect, axes in panels.items():
        axes.set_title(aspect)
        axes.tick_params(labelbottom=True)
    for axes in grid[len(aspects) :]:
        axes.remove()
    return figure, panels
