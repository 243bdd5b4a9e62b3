"""The section of the base's uncertainty as a predictor of shift."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from jaxshift.report import style
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number

_WHICH = {'all': 'all positions', 'without_end': 'without the end token'}
_CAPTION = (
    'Shifted positions caught when the positions where the base is least sure (lowest probability of its likeliest '
    'token) are flagged first; bands: 95 % intervals over prompts. The diagonal is chance.'
)


def section(found: Results) -> Section | None:
    """What uncertainty.json of all runs say."""
    runs = {run: items['uncertainty'] for run, items in found.explained.items() if 'uncertainty' in items}
    if not runs:
        return None
    methods = {run: found.config['runs'].get(run, {}).get('method', '') for run in runs}
    tables = {
        'uncertainty': [row for run, figures in runs.items() for row in summary(run, figures)],
        'uncertainty_undecided': [row for run, figures in runs.items() for row in undecided(run, figures)],
        'uncertainty_curves': [row for run, figures in runs.items() for row in curves(run, figures)],
    }
    sentences = [sentence for run, figures in runs.items() if (sentence := _sentence(run, figures['all']))]
    drawn = {'uncertainty': (caught(tables['uncertainty_curves'], methods), _CAPTION)}
    return Section('Is it the uncertain positions that shift?', sentences, tables, drawn)


def summary(run: str, figures: Mapping) -> list[Row]:
    """One row for each predictor: its AUC of shifted positions, and of shifted or marginal ones ('moved')."""
    rows = []
    for which in _WHICH:
        for name, predictor in figures[which]['predictors'].items():
            row: Row = {'run': run, 'positions_counted': which, 'predictor': name}
            row |= {key: figures[which][key] for key in ('positions', 'shifted', 'moved')}
            for target, figure in predictor['auc'].items():
                row |= _beside(f'auc_{target}', figure)
            rows.append(row)
    return rows


def undecided(run: str, figures: Mapping) -> list[Row]:
    """Positions where the base's likeliest token has less than probability 1/2: shares, 0 to 1."""
    rows = []
    for which in _WHICH:
        found = figures[which]['undecided']
        row: Row = {'run': run, 'positions_counted': which, 'undecided': found['positions']}
        row |= _beside('share', found['share'])
        for kind in ('caught', 'precision'):
            for target, figure in found[kind].items():
                row |= _beside(f'{target}_{kind}', figure)
        rows.append(row)
    return rows


def curves(run: str, figures: Mapping) -> list[Row]:
    """Shares caught by share flagged, 0 to 1."""
    rows = []
    for which in _WHICH:
        for name, predictor in figures[which]['predictors'].items():
            for index, flagged in enumerate(figures['flagged']):
                row: Row = {'run': run, 'positions_counted': which, 'predictor': name, 'flagged': flagged}
                for target, line in predictor['caught'].items():
                    row |= _beside(f'{target}_caught', line[index])
                rows.append(row)
    return rows


def _beside(name: str, figure: Mapping) -> Row:
    low, high = figure['interval'] or (None, None)
    return {name: figure['value'], f'{name}_low': low, f'{name}_high': high}


def _sentence(run: str, figures: Mapping) -> str:
    area, found = figures['predictors']['base_probability']['auc']['shifted'], figures['undecided']
    if area['value'] is None:
        return f'{run}: no position is shifted, so nothing can be predicted.'
    spread = ' [{}, {}]'.format(*map(number, area['interval'])) if area['interval'] else ''
    text = (
        f'{run}: the probability of the base’s likeliest token tells shifted positions from others with an AUC of '
        f'{number(area["value"])}{spread}'
    )
    if found['positions']:
        text += (
            f'; where it is below 1/2 ({_percent(found["share"])} of {counted(figures["positions"], "position")}) '
            f'lie {_percent(found["caught"]["shifted"])} of the shifted ones, and of them '
            f'{_percent(found["precision"]["shifted"])} are shifted'
        )
    return f'{text}.'


def _percent(figure: Mapping) -> str:
    spread = ' [{:.3g}, {:.3g}]'.format(*(100 * each for each in figure['interval'])) if figure['interval'] else ''
    return f'{100 * figure["value"]:.3g} %{spread}'


@style.styled
def caught(rows: list[Row], methods: Mapping[str, str]) -> Figure:
    """Share of shifted positions caught by share of positions flagged, a line a run."""
    figure = Figure(figsize=(style.WIDTH, 3.2))
    panels = figure.subplots(1, 2, sharey=True)
    for (which, title), axes in zip(_WHICH.items(), panels, strict=True):
        for run, look in style.run_styles(methods).items():
            line = [
                row for row in rows
                if (row['run'], row['positions_counted'], row['predictor']) == (run, which, 'base_probability')
                and row['shifted_caught'] is not None
            ]  # fmt: skip
            x, y = ([0.0, *(100 * row[key] for row in line)] for key in ('flagged', 'shifted_caught'))
            axes.plot(x, y, markersize=3, label=style.label(run), **look)
            banded = [row for row in line if row['shifted_caught_low'] is not None]
            low, high = ([100 * row[f'shifted_caught_{end}'] for row in banded] for end in ('low', 'high'))
            axes.fill_between(x[1 : 1 + len(low)], low, high, color=look['color'], alpha=0.15)
        axes.plot([0, 100], [0, 100], color=style.GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(title=title, xlabel='positions flagged, %', xlim=(0, 100), ylim=(0, 102))
    panels[0].set_ylabel('shifted positions caught, %')
    figure.legend(handles=panels[0].lines[:-1], loc='outside upper left', ncols=4)
    return figure
