"""The figures: each a function from plain data to a matplotlib Figure, all in one colour-blind safe style.

Rows are those of `tables.overview`: a column holds a mean, `<column>_low` and `<column>_high` its interval.
Text that comes from data (tokens, names of runs) goes through `label`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from jaxshift.shift.classes import CLASSES
from jaxshift.shift.curves import Curve

Row = Mapping[str, Any]

# Okabe and Ito's colours, which stay apart for all common kinds of colour blindness; a method keeps its own.
METHOD_COLOURS = {'lora': '#0072B2', 'full': '#D55E00', 'pretrain': '#009E73', 'given': '#AA4499'}
CLASS_COLOURS = dict(zip(CLASSES, ('#DDDDDD', '#E69F00', '#882255'), strict=True))  # also apart in grey
_CJK_FONTS = ('Noto Sans CJK SC', 'Noto Sans SC', 'Source Han Sans SC', 'WenQuanYi Micro Hei', 'Arial Unicode MS')
_SHOWN_BLANKS = {' ': '␣', '\n': '⏎', '\t': '→', '\r': '↵'}
_FEW = 5  # prompts; a position that fewer reach is not drawn
_WIDTH = 7.2  # inches


@functools.cache
def _fonts() -> tuple[str, ...]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ('DejaVu Sans', *(name for name in _CJK_FONTS if name in installed))


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset().union(*(FT2Font(font_manager.findfont(name)).get_charmap() for name in _fonts()))


def style() -> dict[Any, Any]:
    """The one style, as rcParams; text of an SVG stays text."""
    return {
        'font.family': list(_fonts()), 'font.size': 9, 'axes.titlesize': 9.5, 'axes.titlelocation': 'left',
        'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True, 'axes.axisbelow': True,
        'grid.color': '#E4E4E4', 'grid.linewidth': 0.7, 'lines.linewidth': 1.6, 'legend.frameon': False,
        'figure.constrained_layout.use': True, 'svg.fonttype': 'none', 'svg.hashsalt': 'jaxshift',
    }  # fmt: skip


def label(text: str) -> str:
    """Text as matplotlib may draw it: no mathematics begins at '$', and a character without glyph reads U+4E2D."""
    shown = ''.join(char if ord(char) in _glyphs() else f'U+{ord(char):04X}' for char in text)
    return shown.replace('$', r'\$')


def token_text(text: str) -> str:
    """A token with its blanks and line ends made visible."""
    return ''.join(_SHOWN_BLANKS.get(char, char) for char in text) or '(empty)'


def token_label(text: str, longest: int = 18) -> str:
    """A token as matplotlib may draw it, cut after `longest` characters."""
    shown = token_text(text)
    return label(shown if len(shown) <= longest else shown[: longest - 1] + '…')


def save(figure: Figure, folder: str | Path, name: str) -> str:
    """Writes NAME.svg and NAME.png (the same bytes for the same data); returns the SVG's text."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(style()):
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine('none')  # the layout stands; each file would work it out again
        figure.savefig(folder / f'{name}.svg', metadata={'Date': None})
        figure.savefig(folder / f'{name}.png', dpi=160)
    return (folder / f'{name}.svg').read_text(encoding='utf-8')


def _styled(draw):
    @functools.wraps(draw)
    def styled(*args, **kwargs):
        with mpl.rc_context(style()):
            return draw(*args, **kwargs)

    return styled


def _run_styles(methods: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour by method; marker and dashes tell the runs of one method apart."""
    seen: dict[str, int] = {}
    styles = {}
    for run, method in methods.items():
        index = seen[method] = seen.get(method, -1) + 1
        styles[run] = {
            'color': METHOD_COLOURS.get(method, '#555555'),
            'marker': 'osD^vPX*'[index % 8],
            'linestyle': ('-', '--', ':', '-.')[index % 4],
        }
    return styles


def _methods(rows: Sequence[Row]) -> dict[str, str]:
    return {row['run']: row['method'] for row in rows}


def _errors(row: Row, column: str) -> list[list[float]] | None:
    low, high, mean = row.get(f'{column}_low'), row.get(f'{column}_high'), row[column]
    return None if low is None or high is None else [[max(mean - low, 0.0)], [max(high - mean, 0.0)]]


def _plain(value: float, _position: int | None = None) -> str:
    return f'{value:g}'


def _log_axis(axis, ticks: Sequence[float]) -> None:
    """A logarithmic axis labelled with plain numbers, at the values themselves where they are few."""
    axis.axes.set(**{f'{axis.axis_name}scale': 'log'})
    if 1 < len(ticks) <= 6:
        axis.set_major_locator(FixedLocator(list(ticks)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_formatter(NullFormatter())


def _names_axis(axes: Axes, labels: Sequence[str], room: int = 0) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), room) - 0.5, -0.5)
    axes.grid(axis='y', visible=False)


@_styled
def learning_rate(
    rows: Sequence[Row], panels: Sequence[tuple[str, str]], series: Mapping[str, str], base: Mapping[str, float]
) -> Figure:
    """Panels (column, title) over the learning rate, one line for each series of runs (run -> its name).

    `base` gives a column's value for the untuned model: a dashed line.
    """
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(_WIDTH * across / 2, 0.5 + 2.5 * down))
    lines: dict[str, list[Row]] = {series[row['run']]: [] for row in rows}
    for row in sorted(rows, key=lambda row: row['learning_rate']):
        lines[series[row['run']]].append(row)
    styles = _run_styles({name: line[0]['method'] for name, line in lines.items()})
    for (column, title), axes in zip(panels, figure.subplots(down, across, squeeze=False).flat, strict=False):
        for name, line in lines.items():
            _rate_line(axes, [row for row in line if row.get(column) is not None], column, styles[name])
        if column in base:
            axes.axhline(base[column], color='#555555', linestyle=(0, (4, 3)), linewidth=1)
        axes.set_title(title)
        axes.margins(x=0.2)
        axes.set_ylim(0, 1.05 if 'accuracy' in column else None)
        _log_axis(axes.xaxis, sorted({row['learning_rate'] for row in rows}))
        if axes is figure.axes[0] and len(rows) <= 8:
            _name_dots(axes, rows, column)
    for axes in figure.axes[len(panels) :]:
        axes.remove()
    figure.supxlabel('peak learning rate (log scale)', fontsize=9)
    handles = [Line2D([], [], label=label(name), **styles[name]) for name in lines]
    if any(column in base for column, _ in panels):
        handles.append(Line2D([], [], color='#555555', linestyle=(0, (4, 3)), linewidth=1, label='base'))
    figure.legend(handles=handles, loc='outside upper left', ncols=3)
    return figure


def _rate_line(axes: Axes, line: Sequence[Row], column: str, look: Mapping[str, Any]) -> None:
    rates, values = [row['learning_rate'] for row in line], [row[column] for row in line]
    axes.plot(rates, values, color=look['color'], linestyle=look['linestyle'], linewidth=1, alpha=0.6)
    for row in line:
        axes.errorbar(row['learning_rate'], row[column], _errors(row, column), color=look['color'],
                      marker=look['marker'], capsize=3, linestyle='none', clip_on=False)  # fmt: skip


def _name_dots(axes: Axes, rows: Sequence[Row], column: str) -> None:
    middle = sum(axes.get_ylim()) / 2
    for row in rows:
        if row.get(column) is not None:
            place = (row['learning_rate'], row[column])
            below = row[column] > 0.4 * middle  # lower ones would run into the axis
            axes.annotate(label(row['run']), place, (7, -9 if below else 6), textcoords='offset points',
                          fontsize=7.5, color=METHOD_COLOURS.get(row['method'], '#555555'))  # fmt: skip


@_styled
def loss_curves(metrics: Mapping[str, Sequence[Row]], methods: Mapping[str, str]) -> Figure:
    """The training loss of all runs at their logged steps."""
    figure = Figure(figsize=(_WIDTH, 3.2))
    axes = figure.subplots()
    for run, look in _run_styles(methods).items():
        rows = metrics.get(run, ())
        marker = look['marker'] if len(rows) < 40 else ''
        axes.plot([r['step'] for r in rows], [r['loss'] for r in rows], **(look | {'marker': marker}),
                  markersize=3, linewidth=1.2, label=label(run))  # fmt: skip
    axes.set(xlabel='step', ylabel='training loss (nats per trained token)')
    axes.set_ylim(bottom=0)
    figure.legend(loc='outside right upper')
    return figure


@_styled
def means(rows: Sequence[Row], rows_without_end: Sequence[Row]) -> Figure:
    """Mean KL, base probability and base rank of each run, with and without the end token."""
    figure = Figure(figsize=(_WIDTH, 1.3 + 0.42 * len(rows)))
    panels = (
        ('kl_tuned_base', 'KL(tuned ‖ base), nats', (0, None)),
        ('base_probability', "base probability\nof the tuned model's choice", (0, 1)),
        ('base_rank', 'base rank of that choice\n(1 = top; axis starts at 1)', (1, None)),
    )
    styles = _run_styles(_methods(rows))
    for axes, (column, title, limits) in zip(figure.subplots(1, 3, sharey=True), panels, strict=True):
        for place, (row, other) in enumerate(zip(rows, rows_without_end, strict=True)):
            look = styles[row['run']]
            for which, shift, fill in ((row, -0.13, look['color']), (other, 0.13, 'white')):
                if which[column] is not None:
                    axes.errorbar(which[column], place + shift, xerr=_errors(which, column), color=look['color'],
                                  marker=look['marker'], markerfacecolor=fill, capsize=3)  # fmt: skip
        axes.set_title(title)
        axes.set_xlim(*limits)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        _names_axis(axes, [label(row['run']) for row in rows])
    figure.supxlabel('filled: all positions; hollow: without the end token; bars: 95 % intervals', fontsize=8)
    return figure


@_styled
def class_shares(rows: Sequence[Row], rows_without_end: Sequence[Row]) -> Figure:
    """Shares of the classes in percent for each run, with and without the end token.

    The shifted come first: they are few, and what stands at the zero line can be compared.
    """
    order = CLASSES[::-1]
    pairs = [(name, row) for a, b in zip(rows, rows_without_end, strict=True)
             for name, row in ((a['run'], a), ('without end', b))]  # fmt: skip
    figure = Figure(figsize=(_WIDTH, 1.2 + 0.3 * len(pairs)))
    axes = figure.subplots()
    for place, (_, row) in enumerate(pairs):
        left = 0.0
        for name in order:
            axes.barh(place, row[name] or 0.0, left=left, height=0.72, color=CLASS_COLOURS[name], edgecolor='white',
                      linewidth=0.6)  # fmt: skip
            left += row[name] or 0.0
        axes.text(101, place, ' / '.join(f'{row[name]:.1f}' for name in order if row[name] is not None), va='center')
    _names_axis(axes, [label(name) for name, _ in pairs])
    axes.set(xlim=(0, 100), xlabel='positions, %')
    axes.grid(visible=False)
    figure.legend(handles=[Patch(color=CLASS_COLOURS[name], label=name) for name in order],
                  loc='outside upper left', ncols=3)  # fmt: skip
    return figure


@_styled
def position_curves(
    absolute: Mapping[str, Curve],
    relative: Mapping[str, Curve],
    relative_without_end: Mapping[str, Curve],
    methods: Mapping[str, str],
) -> Figure:
    """Mean KL by position (log axis, with the number of responses that reach it) and by relative position."""
    figure = Figure(figsize=(_WIDTH, 4.4))
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    first, number, second = (figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (slice(None), 1)))
    for run, look in _run_styles(methods).items():
        line = {key: look[key] for key in ('color', 'linestyle')}
        number.plot(absolute[run].at + 1, absolute[run].n, **line)
        reached = absolute[run].prompts >= min(_FEW, absolute[run].prompts.max(initial=0))
        for axes, curve, x, kept in (
            (first, absolute[run], absolute[run].at + 1, reached),
            (second, relative[run], 100 * relative[run].at, relative[run].n > 0),
        ):
            axes.plot(x[kept], curve.mean[kept], label=label(run), **line)
            axes.fill_between(x[kept], curve.low[kept], curve.high[kept], color=look['color'], alpha=0.15)
        second.plot(100 * relative[run].at, relative_without_end[run].mean, linewidth=0.8, **line)
    for axes in (first, number):
        _log_axis(axes.xaxis, ())
        axes.set_ylim(bottom=0)
        axes.set_xlim(0.9, 1.1 * max(len(curve.at) for curve in absolute.values()))
    first.set_title(f'by position (drawn where at least {_FEW} prompts)')
    first.set_ylabel('mean KL(tuned ‖ base), nats')
    first.tick_params(labelbottom=False)
    number.set(xlabel='position in the response, from 1 (log scale)', ylabel='responses')
    second.set_title('by relative position (thin: without end token)')
    second.set(xlabel='place in the response, %', xlim=(0, 100))
    second.set_ylim(bottom=0)
    figure.legend(handles=first.lines, loc='outside upper left', ncols=4)
    return figure


@_styled
def sentence(rows: Sequence[Row]) -> Figure:
    """Mean KL in the first 5 % of the tokens of each sentence, and in the rest."""
    figure = Figure(figsize=(_WIDTH, 1.2 + 0.34 * len(rows)))
    axes = figure.subplots()
    styles = _run_styles(_methods(rows))
    for place, row in enumerate(rows):
        look = styles[row['run']]
        for column, fill in (('sentence_start', look['color']), ('sentence_rest', 'white')):
            if row[column] is not None:
                axes.errorbar(row[column], place, xerr=_errors(row, column), color=look['color'], capsize=3,
                              marker=look['marker'], markerfacecolor=fill)  # fmt: skip
    _names_axis(axes, [label(row['run']) for row in rows])
    axes.set_xlim(left=0)
    axes.set_title('filled: first 5 % of each sentence; hollow: the rest')
    axes.set_xlabel('mean KL(tuned ‖ base), nats, with 95 % interval')
    return figure


def _ranked(tokens: Sequence[Row], end: bool, most: int) -> Iterator[Row]:
    kept = [row for row in tokens if row['shifted'] and (end or not row['is_end'])]
    yield from sorted(kept, key=lambda row: -row['shifted'])[:most]


@_styled
def top_tokens(tokens: Mapping[str, Sequence[Row]], methods: Mapping[str, str], most: int = 12) -> Figure:
    """The tokens most often shifted in each run (rows of `tables.top_tokens`), with and without the end token."""
    runs = list(tokens)
    figure = Figure(figsize=(_WIDTH, 0.4 + 2.5 * len(runs)))
    for (left, right), run in zip(figure.subplots(len(runs), 2, squeeze=False), runs, strict=True):
        for axes, end in ((left, True), (right, False)):
            rows = list(_ranked(tokens[run], end, most))
            for place, row in enumerate(rows):
                axes.barh(place, row['shifted'], color=METHOD_COLOURS.get(methods[run], '#555555'), height=0.7,
                          hatch='////' if row['is_end'] else None, edgecolor='white', linewidth=0.4)  # fmt: skip
                axes.annotate(str(row['shifted']), (row['shifted'], place), (3, 0), textcoords='offset points',
                              va='center', fontsize=7.5)  # fmt: skip
            _names_axis(axes, [token_label(row['token']) for row in rows], most)
            axes.set_xlim(0, 1.12 * max((row['shifted'] for row in rows), default=1))
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.set_title(f'{label(run)}: {"end token hatched" if end else "without the end token"}')
    figure.supxlabel("positions where the tuned model's choice is this token and is shifted", fontsize=9)
    return figure
