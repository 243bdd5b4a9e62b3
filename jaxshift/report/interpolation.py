"""The section of models between base and tuned, and of changes taken back in part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxshift.report import style
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import number

_WAYS = {
    'scaled': 'change multiplied by',
    'most': 'share taken back,\nmost changed first',
    'least': 'share taken back,\nleast changed first',
    'random': 'share taken back,\nat random (control)',
}
_MEASURES = {'kl_tuned_base': 'mean KL(· ‖ base), nats', 'held_out_accuracy': 'held-out accuracy'}
_CAPTION = (
    'Models between base (0) and tuned (1), and tuned models of which a share of the changed entries is put back to '
    'the base, on the same windows: those of the tuned model’s responses. Bars: 95 % intervals.'
)


def section(found: Results) -> Section | None:
    """What interpolation.json of all runs say."""
    runs = {run: items['interpolation'] for run, items in found.explained.items() if 'interpolation' in items}
    if not runs:
        return None
    rows = [row for run, figures in runs.items() for row in table(run, figures)]
    methods = {run: found.config['runs'].get(run, {}).get('method', '') for run in runs}
    sentences = [sentence for run in runs if (sentence := _sentence(run, [row for row in rows if row['run'] == run]))]
    drawn = {'interpolation': (lines(rows, methods), _CAPTION)}
    return Section('Between base and tuned', sentences, {'interpolation': rows}, drawn)


def table(run: str, figures: Mapping) -> list[Row]:
    """One row for each of a run's models: all positions, and accuracy where there is one."""
    rows = []
    for point in figures['points']:
        row = {'run': run, **{key: point[key] for key in ('way', 'at', 'put_back')}}
        for name in ('kl_tuned_base', 'js', 'base_probability', *point['all']['shares']):
            mean = point['all'].get(name) or point['all']['shares'][name]
            low, high = mean['interval'] or (None, None)
            row |= {name: mean['mean'], f'{name}_low': low, f'{name}_high': high}
        row |= {name: value for name, value in point.get('answers', {}).items() if name.endswith(('accuracy', '_n'))}
        rows.append(row)
    return rows


def _sentence(run: str, rows: Sequence[Row]) -> str:
    """How much of the shift is left when so much of the change is taken back, in each order."""
    whole = next((row for row in rows if row['way'] == 'scaled' and row['at'] == 1), None)
    parts = {row['way']: row for row in rows if row['at'] == 0.1 and row['way'] != 'scaled'}
    if not whole or not whole['kl_tuned_base'] or len(parts) < 3:
        return ''
    left = {way: row['kl_tuned_base'] / whole['kl_tuned_base'] for way, row in parts.items()}
    return (
        f'{run}: with the tenth of the entries that changed most put back, {100 * left["most"]:.3g} % of the mean KL '
        f'({number(whole["kl_tuned_base"])} nats) is left; with the tenth that changed least {100 * left["least"]:.3g} '
        f'%; with any tenth {100 * left["random"]:.3g} %.'
    )


@style.styled
def lines(rows: Sequence[Row], methods: Mapping[str, str]) -> Figure:
    """A row of panels a measure, a panel a way to get there, a line a run."""
    measures = {name: title for name, title in _MEASURES.items() if any(row.get(name) is not None for row in rows)}
    ways = [way for way in _WAYS if any(row['way'] == way for row in rows)]
    figure = Figure(figsize=(style.WIDTH, 0.5 + 2.2 * len(measures)))
    grid = figure.subplots(len(measures), len(ways), sharey='row', sharex='col', squeeze=False)
    for (name, title), panels in zip(measures.items(), grid, strict=True):
        for way, axes in zip(ways, panels, strict=True):
            for run, look in style.run_styles(methods).items():
                line = [row for row in rows if row['run'] == run and row['way'] == way and row.get(name) is not None]
                axes.plot([row['at'] for row in line], [row[name] for row in line], linewidth=1, alpha=0.6, **{
                    key: look[key] for key in ('color', 'linestyle')})  # fmt: skip
                for row in line:
                    axes.errorbar(row['at'], row[name], style.errors(row, name), color=look['color'], markersize=3,
                                  marker=look['marker'], linestyle='none', capsize=2)  # fmt: skip
            axes.set_ylim(bottom=0)
            if way != 'scaled':
                axes.set_xlim(-0.05, 1.05)  # shares
        panels[0].set_ylabel(title)
    for way, axes in zip(ways, grid[-1], strict=True):
        axes.set_xlabel(_WAYS[way])
    handles = [Line2D([], [], label=style.label(run), **look) for run, look in style.run_styles(methods).items()]
    figure.legend(handles=handles, loc='outside upper left', ncols=4)
    return figure
