"""The figures of training: what the learning rate does to each measure, and the losses.

Rows are those of `tables.overview`, see `figures`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jaxshift.report import style
from jaxshift.report.figures import Row

_BASE_LINE: Row = {'color': style.GREY, 'linestyle': (0, (4, 3)), 'linewidth': 1}


@style.styled
def learning_rate(
    rows: Sequence[Row], panels: Sequence[tuple[str, str]], series: Mapping[str, str], base: Mapping[str, float]
) -> Figure:
    """Panels (column, title) over the learning rate, one line for each series of runs (run -> its name).

    The legend names the runs of a line from left to right: beside their dots names would run into each other.
    `base` gives a column's value for the untuned model: a dashed line.
    """
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    lines: dict[str, list[Row]] = {series[row['run']]: [] for row in rows}
    for row in sorted(rows, key=lambda row: row['learning_rate']):
        lines[series[row['run']]].append(row)
    styles = style.run_styles({name: line[0]['method'] for name, line in lines.items()})
    names = {
        name: textwrap.fill(style.label(f'{name}: {", ".join(row["run"] for row in line)}'), 46 * across)
        for name, line in lines.items()
    }
    handles = [Line2D([], [], label=names[name], **styles[name]) for name in lines]
    if any(column in base for column, _ in panels):
        handles.append(Line2D([], [], label='base', **_BASE_LINE))
    legend_lines = sum(1 + str(handle.get_label()).count('\n') for handle in handles)
    figure = Figure(figsize=(style.WIDTH * across / 2, 0.4 + 0.16 * legend_lines + 2.4 * down))
    for (column, title), axes in zip(panels, figure.subplots(down, across, squeeze=False).flat, strict=False):
        for name, line in lines.items():
            _rate_line(axes, [row for row in line if row.get(column) is not None], column, styles[name], name)
        if column in base:
            axes.axhline(base[column], **_BASE_LINE)
        axes.set_title(title)
        axes.margins(x=0.1)
        axes.set_ylim(0, 1.05 if 'accuracy' in column else None)
        style.log_axis(axes.xaxis, sorted({row['learning_rate'] for row in rows}))
    for axes in figure.axes[len(panels) :]:
        axes.remove()
    figure.supxlabel('peak learning rate (log scale)', fontsize=9)
    figure.legend(handles=handles, loc='outside upper left', fontsize=8)
    return figure


def _rate_line(axes: Axes, line: Sequence[Row], column: str, look: Row, name: str) -> None:
    rates, values = [row['learning_rate'] for row in line], [row[column] for row in line]
    look_of_line = {key: look[key] for key in ('color', 'linestyle')}
    axes.plot(rates, values, label=style.label(name), linewidth=1, alpha=0.6, **look_of_line)
    for row in line:
        axes.errorbar(row['learning_rate'], row[column], style.errors(row, column), color=look['color'],
                      marker=look['marker'], capsize=3, linestyle='none', clip_on=False)  # fmt: skip


@style.styled
def loss_curves(metrics: Mapping[str, Sequence[Row]], methods: Mapping[str, str]) -> Figure:
    """The training loss of all runs at their logged steps, and the loss on held-out examples where it was taken."""
    figure = Figure(figsize=(style.WIDTH, 3.2))
    axes = figure.subplots()
    for run, look in style.run_styles(methods).items():
        rows = metrics.get(run, ())
        marker = look['marker'] if len(rows) < 40 else ''
        axes.plot([r['step'] for r in rows], [r['loss'] for r in rows], **(look | {'marker': marker}),
                  markersize=3, linewidth=1.2, label=style.label(run))  # fmt: skip
        if held := [(r['step'], r['eval_loss']) for r in rows if 'eval_loss' in r]:
            axes.plot(*zip(*held, strict=True), color=look['color'], marker=look['marker'], markerfacecolor='none',
                      linestyle='none', label=style.label(f'{run}, held out'))  # fmt: skip
    axes.set(xlabel='step', ylabel='training loss (nats per trained token)')
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc='outside right upper')
    return figure
