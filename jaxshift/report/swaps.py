"""The section of cross-sampling: one model decodes, the other gives some of the tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxshift.report import style
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.shift.intervals import wilson

_HOSTS = {'base': 'tuned tokens in base decoding', 'tuned': 'base tokens in tuned decoding'}
_BY = {'js': '-', 'lot': ':'}
_MEASURES = {'held_out_accuracy': 'held-out accuracy', 'same_as_donor': 'answers that are the donor’s own'}
_LITTLE = 0.1  # the budget that sentences speak of, or the nearest
_CAPTION = (
    'The two models read one text; where their distributions differ most (solid), or by lot (dotted), the token is '
    'that of the model that does not decode.'
)
_BARS = ' Bars: 95 % intervals over questions (Wilson).'  # of accuracy, which the controlled world has


def section(found: Results) -> Section | None:
    """What swaps.json of all runs say."""
    runs = {run: items['swaps'] for run, items in found.explained.items() if 'swaps' in items}
    if not runs:
        return None
    rows = [row for run, figures in runs.items() for row in table(run, figures)]
    sentences = [text for run in runs for host in _HOSTS if (text := _sentence(run, host, rows))]
    methods = {run: found.config['runs'].get(run, {}).get('method', '') for run in runs}
    caption = _CAPTION + (_BARS if any('held_out_accuracy' in row for row in rows) else '')
    return Section('Swapping a few tokens', sentences, {'swaps': rows}, {'swaps': (lines(rows, methods), caption)})


def table(run: str, figures: Mapping) -> list[Row]:
    """One row for each decoding: `swapped` positions took the donor's token, at `changed` of all it was another."""
    rows = []
    for point in figures['points']:
        (donor,) = set(_HOSTS) - {point['host']}
        row = {'run': run, **{key: point[key] for key in ('host', 'by', 'budget', 'positions', 'swapped', 'changed')}}
        row |= {'same_as_host': point[f'same_as_{point["host"]}'], 'same_as_donor': point[f'same_as_{donor}']}
        answers = point.get('answers', {})
        for kind in ('held_out', 'new_fact'):
            share, n = answers.get(f'{kind}_accuracy'), answers.get(f'{kind}_n')
            if share is not None and n:
                low, high = wilson(share, n)
                row |= {f'{kind}_accuracy': share, f'{kind}_accuracy_low': low, f'{kind}_accuracy_high': high}
        rows.append(row)
    return rows


def _sentence(run: str, host: str, rows: Sequence[Row]) -> str:
    """What a small budget does, by divergence and by lot: in the world to accuracy, elsewhere to whole answers."""
    own = [row for row in rows if (row['run'], row['host']) == (run, host)]
    (alone,) = (row for row in own if row['by'] == 'nothing')
    budgets = {row['budget'] for row in own if row['by'] != 'nothing'}
    if not budgets:
        return ''
    budget = min(budgets, key=lambda each: abs(each - _LITTLE))
    by = {row['by']: row for row in own if row['budget'] == budget}
    donor, named = ('the base', 'the tuned model') if host == 'tuned' else (run, 'the base')
    measure = 'held_out_accuracy' if 'held_out_accuracy' in alone else 'same_as_donor'

    def told(row: Row, key: str = measure) -> str:
        return f'{100 * row[key]:.3g} %'

    if measure == 'held_out_accuracy':
        begun = f'{named} alone answers {told(alone)} of the held-out questions right'
    else:
        begun = f'{told(alone)} of the answers of {named} are word for word those of {donor}'
    return (
        f'{run}: {begun}; with tokens of {donor} at the {told(by["js"], "swapped")} of positions where the two differ '
        f'most ({told(by["js"], "changed")} of tokens changed) {told(by["js"])}; at {told(by["lot"], "swapped")} of '
        f'positions by lot ({told(by["lot"], "changed")} changed) {told(by["lot"])}.'
    )


@style.styled
def lines(rows: Sequence[Row], methods: Mapping[str, str]) -> Figure:
    """A row of panels a measure, a panel for each that decodes, a line for each run and way to choose positions."""
    measures = {name: title for name, title in _MEASURES.items() if any(name in row for row in rows)}
    figure = Figure(figsize=(style.WIDTH, 0.6 + 2.4 * len(measures)))
    grid = figure.subplots(len(measures), 2, sharey='row', sharex=True, squeeze=False)
    looks = style.run_styles(methods)
    for (name, title), panels in zip(measures.items(), grid, strict=True):
        for (host, heading), axes in zip(_HOSTS.items(), panels, strict=True):
            for run, look in looks.items():
                for by, dashes in _BY.items():
                    line = [row for row in rows if (row['run'], row['host']) == (run, host)
                            and row['by'] in ('nothing', by) and name in row]  # fmt: skip
                    axes.plot([100 * row['swapped'] for row in line], [row[name] for row in line], linewidth=1,
                              linestyle=dashes, color=look['color'])  # fmt: skip
                    for row in line:
                        axes.errorbar(100 * row['swapped'], row[name], style.errors(row, name), color=look['color'],
                                      marker=look['marker'], markersize=3, linestyle='none', capsize=2)  # fmt: skip
            axes.set(title=heading, ylim=(0, 1.04))
        panels[0].set_ylabel(title)
    for axes in grid[-1]:
        axes.set_xlabel('tokens that the other model gives, %')
    handles = [Line2D([], [], label=style.label(run), **(look | {'linestyle': '-'})) for run, look in looks.items()]
    handles += [
        Line2D([], [], color=style.GREY, linestyle='-', label='largest JS'),
        Line2D([], [], color=style.GREY, linestyle=':', label='by lot'),
    ]
    figure.legend(handles=handles, loc='outside upper left', ncols=4)
    return figure
