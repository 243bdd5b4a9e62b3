"""The figures: each a function from plain data to a matplotlib Figure.

Rows are those of `tables.overview`: a column holds a mean, `<column>_low` and `<column>_high` its interval.
Text that comes from data (tokens, names of runs) goes through `style.label`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jaxshift.report import style
from jaxshift.report.wording import counted
from jaxshift.shift.classes import CLASSES
from jaxshift.shift.curves import Curve

Row = Mapping[str, Any]

_FEW = 5  # prompts; a position that fewer reach is not drawn
_MOST_TOKENS = 12  # in one panel
# By measure, the title of its curves and where their axis begins: a rank's is logarithmic.
BY_POSITION = {
    'kl_tuned_base': ('mean KL(tuned ‖ base), nats', 0),
    'base_probability': ("base probability of\nthe tuned model's choice", 0),
    'base_rank': (
        'base rank of that choice\n(1 = top; log scale from 1)',
        0.95,
    ),  # so that a line along 1 is seen whole
}
_KINDS = (('absolute', 'all'), ('relative', 'all'), ('relative', 'without_end'))
_POSITIONS = (1, 2, 5, 10, 20, 50, 100)  # to name on an axis; one that goes further names powers of ten


def _methods(rows: Sequence[Row]) -> dict[str, str]:
    return {row['run']: row['method'] for row in rows}


@style.styled
def means(rows: Sequence[Row], rows_without_end: Sequence[Row]) -> Figure:
    """Mean KL, base probability and base rank of each run, with and without the end token."""
    figure = Figure(figsize=(style.WIDTH, 1.3 + 0.42 * len(rows)))
    panels = (
        ('kl_tuned_base', 'KL(tuned ‖ base), nats', (0, None)),
        ('base_probability', "base probability\nof the tuned model's choice", (0, 1)),
        ('base_rank', 'base rank of that choice\n(1 = top; axis starts at 1)', (1, None)),
    )
    styles = style.run_styles(_methods(rows))
    # Room between panels, so that the last number of an axis stays apart from the first one of the next.
    grid = figure.subplots(1, 3, sharey=True, gridspec_kw={'wspace': 0.06})
    for axes, (column, title, limits) in zip(grid, panels, strict=True):
        for place, (row, other) in enumerate(zip(rows, rows_without_end, strict=True)):
            _two_means(axes, place, (row, column), (other, column), styles[row['run']])
        axes.set_title(title)
        axes.set_xlim(*limits)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        style.names_axis(axes, [style.label(row['run']) for row in rows])
    figure.supxlabel('filled: all positions; hollow: without the end token; bars: 95 % intervals', fontsize=8)
    return figure


def _two_means(axes: Axes, place: float, filled: tuple[Row, str], hollow: tuple[Row, str], look: Row) -> None:
    """Two (row, column) with their intervals, a little apart so that the bars do not hide each other."""
    for (row, column), shift, fill in ((filled, -0.13, look['color']), (hollow, 0.13, 'white')):
        if row[column] is not None:
            axes.errorbar(row[column], place + shift, xerr=style.errors(row, column), color=look['color'], capsize=3,
                          marker=look['marker'], markerfacecolor=fill, clip_on=False)  # fmt: skip


@style.styled
def context_length(rows: Sequence[Row]) -> Figure:
    """Mean KL by the prompt tokens that a window keeps, -1 all; one row a run and length."""
    lengths = sorted({row['context_length'] for row in rows}, key=lambda length: (length == -1, length))
    figure = Figure(figsize=(style.WIDTH, 3))
    axes = figure.subplots()
    for run, look in style.run_styles(_methods(rows)).items():
        line = {lengths.index(row['context_length']): row for row in rows if row['run'] == run}
        for place, row in line.items():
            axes.errorbar(place, row['kl_tuned_base'], style.errors(row, 'kl_tuned_base'), color=look['color'])
        means = {place: line[place]['kl_tuned_base'] for place in sorted(line)}
        axes.plot(list(means), list(means.values()), label=style.label(run), **look)
    axes.set_xticks(range(len(lengths)), ['all' if length == -1 else str(length) for length in lengths])
    axes.set(xlabel='prompt tokens that a window keeps', ylabel='mean KL(tuned ‖ base), nats', ylim=(0, None))
    figure.legend(loc='outside right upper')
    return figure


@style.styled
def class_shares(rows: Sequence[Row], rows_without_end: Sequence[Row]) -> Figure:
    """Shares of the classes in percent for each run, with and without the end token.

    The shifted come first: they are few, and what stands at the zero line can be compared.
    """
    order = CLASSES[::-1]
    pairs = [(name, row) for a, b in zip(rows, rows_without_end, strict=True)
             for name, row in ((a['run'], a), ('without end', b))]  # fmt: skip
    figure = Figure(figsize=(style.WIDTH, 1.2 + 0.3 * len(pairs)))
    axes = figure.subplots()
    for place, (_, row) in enumerate(pairs):
        left = 0.0
        for name in order:
            axes.barh(place, row[name] or 0.0, left=left, height=0.72, color=style.CLASS_COLOURS[name],
                      edgecolor='white', linewidth=0.6)  # fmt: skip
            left += row[name] or 0.0
        axes.text(101, place, ' / '.join(f'{row[name]:.1f}' for name in order if row[name] is not None), va='center')
    style.names_axis(axes, [style.label(name) for name, _ in pairs])
    axes.set(xlim=(0, 100), xlabel=f'positions, % (numbers: {" / ".join(order)})')
    axes.grid(visible=False)
    figure.legend(handles=[Patch(color=style.CLASS_COLOURS[name], label=name) for name in order],
                  loc='outside upper left', ncols=3)  # fmt: skip
    return figure


@style.styled
def position_curves(curves: Mapping[tuple[str, str, str], Mapping[str, Curve]], methods: Mapping[str, str]) -> Figure:
    """Means by position on the left, by relative position on the right: a row a measure, and below them n.

    `curves`: by run, for (measure, absolute | relative, all | without_end). Mean ranks have a log axis, because the
    first tokens of a response may have ranks in the thousands.
    """
    figure = Figure(figsize=(style.WIDTH, 8.6))
    heights = [3] * len(BY_POSITION)
    grid = figure.subplots(len(heights) + 1, 2, sharex='col', height_ratios=[*heights, 1.6])
    of_kl = curves['kl_tuned_base', 'absolute', 'all']
    few = min(_FEW, *(curve.prompts.max(initial=0) for curve in of_kl.values()))
    longest = max(len(curve.at) for curve in of_kl.values())
    artists: list[tuple[str, Artist]] = []
    for run, look in style.run_styles(methods).items():
        line = {key: look[key] for key in ('color', 'linestyle')}
        for panels, measure in zip(grid, BY_POSITION, strict=False):
            absolute, relative, no_end = (curves[measure, *which][run] for which in _KINDS)
            reached = absolute.prompts >= few
            for axes, curve, x, kept in (
                (panels[0], absolute, absolute.at + 1, reached),
                (panels[1], relative, 100 * relative.at, relative.n > 0),
            ):
                drawn = axes.plot(x[kept], curve.mean[kept], label=style.label(run), **line)
                band = axes.fill_between(x[kept], curve.low[kept], curve.high[kept], color=look['color'], alpha=0.15)
                artists += [(run, drawn[0]), (run, band)]
            thin = style.label(f'{run}, without end')
            artists += [(run, panels[1].plot(100 * no_end.at, no_end.mean, label=thin, linewidth=0.8, **line)[0])]
        each, parts = of_kl[run], curves['kl_tuned_base', 'relative', 'all'][run]
        for axes, x, n in ((grid[-1][0], each.at + 1, each.n), (grid[-1][1], 100 * parts.at, parts.n)):
            artists += [(run, axes.plot(x, n, label=style.label(run), **line)[0])]
    style.set_runs(artists)
    for (left, right), (title, bottom) in zip(grid, [*BY_POSITION.values(), ('n, positions', 0)], strict=True):
        left.set_ylabel(title)
        for axes in (left, right):
            if bottom:
                style.log_axis(axes.yaxis, ())
            axes.set_ylim(bottom=bottom)
    style.log_axis(grid[-1][0].xaxis, [tick for tick in _POSITIONS if tick <= longest])
    grid[-1][0].set(xlabel='position in the response, from 1 (log scale)', xlim=(0.9, 1.1 * longest))
    grid[-1][1].set(xlabel='place in the response, %', xlim=(0, 100))
    grid[0][0].set_title(f'by position (drawn where at least {counted(few, "prompt")})')
    grid[0][1].set_title('by relative position (thin: without end token)')
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc='outside upper left', ncols=4)
    return figure


@style.styled
def sentence(rows: Sequence[Row]) -> Figure:
    """Mean KL in the first 5 % of the tokens of each sentence, and in the rest."""
    figure = Figure(figsize=(style.WIDTH, 1.2 + 0.34 * len(rows)))
    axes = figure.subplots()
    styles = style.run_styles(_methods(rows))
    for place, row in enumerate(rows):
        _two_means(axes, place, (row, 'sentence_start'), (row, 'sentence_rest'), styles[row['run']])
    style.names_axis(axes, [style.label(row['run']) for row in rows])
    axes.set_xlim(left=0)
    axes.set_title('filled: first 5 % of each sentence; hollow: the rest')
    axes.set_xlabel('mean KL(tuned ‖ base), nats, with 95 % interval')
    return figure


@style.styled
def top_tokens(tokens: Mapping[str, Sequence[Row]], methods: Mapping[str, str]) -> Figure:
    """The tokens most often shifted in each run (rows of `tables.top_tokens`), with and without the end token."""
    shifted = {run: [row for row in rows if row['shifted']] for run, rows in tokens.items()}
    heights = [1 + max(1, min(_MOST_TOKENS, len(rows))) for rows in shifted.values()]
    figure = Figure(figsize=(style.WIDTH, 0.4 + sum(0.3 + 0.17 * height for height in heights)))
    grid = figure.subplots(len(shifted), 2, squeeze=False, height_ratios=heights)
    for panels, (run, rows), height in zip(grid, shifted.items(), heights, strict=True):
        others = [row for row in rows if not row['is_end']]
        for axes, shown, which in zip(panels, (rows, others), ('all tokens', 'without the end token'), strict=True):
            axes.set_title(f'{style.label(run)}: {which if shown else "no shifted position"}')
            _bars(axes, shown[:_MOST_TOKENS], style.colour(methods[run]), height - 1)
    figure.supxlabel("positions where the tuned model's choice is this token and is shifted", fontsize=9)
    return figure


def _bars(axes: Axes, rows: Sequence[Row], colour: str, room: int) -> None:
    for place, row in enumerate(rows):
        axes.barh(place, row['shifted'], color=colour, height=0.7, hatch='////' if row['is_end'] else None,
                  edgecolor='white', linewidth=0.4)  # fmt: skip
        axes.annotate(str(row['shifted']), (row['shifted'], place), (3, 0), textcoords='offset points', va='center',
                      fontsize=7.5)  # fmt: skip
    style.names_axis(axes, [style.token_label(row['token']) for row in rows], room)
    axes.set_xlim(0, 1.12 * max((row['shifted'] for row in rows), default=1))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
