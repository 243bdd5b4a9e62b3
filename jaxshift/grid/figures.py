"""The figures of a grid; rows are those of `comparisons.means` of one base and data set, bars intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxshift.grid.spread import spread
from jaxshift.report import judged_figures, style
from jaxshift.report.tables import Row

Panels = Sequence[tuple[str, str]]  # column, title

_PARTS = 25  # of a run, in the curve of its loss
_MOST_TOKENS = 30  # of a method, in a figure; the table has 125


@style.styled
def by_size(rows: Sequence[Row], panels: Panels, published: Mapping[str, Sequence[Row]]) -> Figure:
    """Means against the size of the data, as in the paper's Figure 1: a panel a column, a line a run.

    `published` has points of the paper by column: rows of method, size and value, drawn as crosses.
    """
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    figure = Figure(figsize=(style.WIDTH, 0.7 + 2.5 * down))
    looks = style.run_styles({row['run']: row['method'] for row in rows})
    sizes = sorted({row['size'] for row in rows})
    grid = figure.subplots(down, across, squeeze=False).flatten().tolist()
    for (column, title), axes in zip(panels, grid, strict=False):
        for run, look in looks.items():
            line = [row for row in rows if row['run'] == run and row.get(column) is not None]
            axes.plot([row['size'] for row in line], [row[column] for row in line], label=style.label(run), **look)
            for row in line:
                axes.errorbar(row['size'], row[column], style.errors(row, column), color=look['color'], capsize=2)
        for point in published.get(column, ()):
            axes.plot(point['size'], point['value'], 'x', color=style.colour(point['method']), markersize=8)
        axes.set_title(title)
        style.log_axis(axes.xaxis, sizes)
        axes.margins(x=0.12)
    for axes in grid[len(panels) :]:
        axes.remove()
    crosses = '; crosses: the paper' if published else ''
    figure.supxlabel(f'examples of instruction data (log scale){crosses}', fontsize=9)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper left', ncols=4)
    return figure


@style.styled
def sentence(rows: Sequence[Row]) -> Figure:
    """Mean KL in the first 5 % of each sentence and in the rest, as in the paper's Figure 4."""
    figure = Figure(figsize=(style.WIDTH, 1.2 + 0.3 * len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        for column, shift, fill in (('sentence_start', -0.13, True), ('sentence_rest', 0.13, False)):
            _point(axes, row, column, place + shift, fill)
    style.names_axis(axes, [style.label(f'{row["run"]}, n = {row["size"]:,}') for row in rows])
    axes.set_xlim(left=0)
    axes.set_title('filled: first 5 % of each sentence; hollow: the rest')
    axes.set_xlabel('mean KL(tuned ‖ base), nats')
    return figure


@style.styled
def borrowing(rows: Sequence[Row], shares: Panels, chance: Mapping[str, str]) -> Figure:
    """What is borrowed from the tuning data, beside what chance or unread data give, as in the paper's Figure 8.

    Args:
      rows: with the columns of `shares`.
      shares: a panel each.
      chance: share to the column of its null, drawn hollow.
    """
    figure = Figure(figsize=(style.WIDTH, 1.3 + 0.3 * len(rows)))
    grid = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for axes, (column, title) in zip(grid, shares, strict=True):
        for place, row in enumerate(rows):
            _point(axes, row, column, place - 0.13, True)
            _point(axes, row, chance[column], place + 0.13, False)
        style.names_axis(axes, [style.label(f'{row["run"]}, n = {row["size"]:,}') for row in rows])
        axes.set_xlim(0, 1)
        axes.set_title(title)
    figure.supxlabel('share; filled: tuning data; hollow: null', fontsize=9)
    return figure


def _point(axes: Axes, row: Row, column: str, place: float, fill: bool) -> None:
    if row.get(column) is not None:
        colour = style.colour(row['method'])
        # A bar may reach beyond what a share can be; a mark on the axis is shown whole.
        axes.errorbar(row[column], place, xerr=style.errors(row, column), fmt='none', color=colour, capsize=3)
        face = colour if fill else 'white'
        axes.plot(row[column], place, 'o', color=colour, markerfacecolor=face, clip_on=False, zorder=3)


@style.styled
def treatments(rows: Sequence[Row], panels: Panels) -> Figure:
    """Runs with a treatment beside the plain ones of their method, as in the paper's Figure 9."""
    figure = Figure(figsize=(style.WIDTH, 1.3 + 0.28 * len(rows)))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (column, title) in zip(grid, panels, strict=True):
        for place, row in enumerate(rows):
            _point(axes, row, column, place, not row['plain'])
        style.names_axis(axes, [style.label(f'{row["run"]}, n = {row["size"]:,}') for row in rows])
        axes.set_title(title)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel('filled: with the treatment; hollow: without', fontsize=9)
    return figure


@style.styled
def losses(curves: Mapping[tuple[int, str], Sequence[Sequence[Row]]], methods: Mapping[str, str]) -> Figure:
    """Training loss against the share of the steps done, mean over seeds: a panel a size, a line a run.

    A point is the mean over a twenty-fifth of the steps, since single batches are noisy.

    Args:
      curves: by size and run, the logged steps of each seed.
      methods: run to method.
    """
    sizes = sorted({size for size, _ in curves})
    figure = Figure(figsize=(style.WIDTH, 3.0))
    looks = style.run_styles(methods)
    grid = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for axes, size in zip(grid, sizes, strict=True):
        for run, look in looks.items():
            lines = [line for line in curves.get((size, run), ()) if line]
            if not lines:
                continue
            there = [_in_parts(line) for line in lines]
            points = [(part, spread([line.get(part) for line in there])) for part in range(_PARTS)]
            x = [100 * (part + 0.5) / _PARTS for part, found in points if found]
            axes.plot(x, [found.mean for _, found in points if found], label=style.label(run),
                      color=look['color'], linestyle=look['linestyle'])  # fmt: skip
            low = [found.mean if found.low is None else found.low for _, found in points if found]
            high = [found.mean if found.high is None else found.high for _, found in points if found]
            axes.fill_between(x, low, high, color=look['color'], alpha=0.12)
        axes.set_title(f'n = {size:,}')
        axes.set_ylim(bottom=0)
    grid[0].set_ylabel('training loss, nats a token')
    figure.supxlabel('steps done, %', fontsize=9)
    figure.legend(*grid[-1].get_legend_handles_labels(), loc='outside upper left', ncols=4)
    return figure


def _in_parts(line: Sequence[Row]) -> dict[int, float]:
    """Mean losses of the logged steps in each of `_PARTS` equal parts of a run, from 0."""
    parts: dict[int, list[float]] = {}
    for row in line:
        parts.setdefault(math.ceil(_PARTS * row['step'] / line[-1]['step']) - 1, []).append(row['loss'])
    return {part: sum(losses) / len(losses) for part, losses in parts.items()}


def radar(rows: Sequence[Row]) -> Figure:
    """Mean scores of the five aspects around a circle, of runs at the smallest and the largest data."""
    ends = {min(row['size'] for row in rows), max(row['size'] for row in rows)}
    named = {f'{row["run"]}, n = {row["size"]:,}': row for row in rows if row['size'] in ends}
    scores = [
        {'run': name, 'aspect': column.removeprefix('score_'), 'score': row[column]}
        for name, row in named.items()
        for column in row
        if column.startswith('score_') and not column.endswith(('_low', '_high'))
    ]
    return judged_figures.radar(scores, {name: row['method'] for name, row in named.items()})


@style.styled
def tokens(counts: Mapping[str, Sequence[Row]], methods: Mapping[str, str]) -> Figure:
    """The tokens most often shifted or marginal in each run, all seeds together, as in the paper's Figure 12.

    `counts`: run to rows of token, is_end, shifted and marginal, most frequent first.
    """
    figure = Figure(figsize=(style.WIDTH, 0.8 + 0.17 * _MOST_TOKENS))
    for axes, (run, rows) in zip(figure.subplots(1, len(counts), squeeze=False)[0], counts.items(), strict=True):
        shown, colour = rows[:_MOST_TOKENS], style.colour(methods[run])
        places = np.arange(len(shown))
        shifted = np.array([row['shifted'] for row in shown])
        axes.barh(places, shifted, color=colour, height=0.75)
        axes.barh(places, [row['marginal'] for row in shown], left=shifted, color=colour, alpha=0.35, height=0.75)
        style.names_axis(axes, [style.token_label(row['token']) for row in shown], _MOST_TOKENS)
        axes.tick_params(axis='y', labelsize=7)
        axes.set_title(style.label(run))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.supxlabel('positions; full colour: shifted; pale: marginal', fontsize=9)
    return figure
