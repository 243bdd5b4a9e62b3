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
    'token) are flagged first. The diagonal is chance.'
)


def section(found: Results) -> Section | None:
    """What uncertainty.json of all runs say."""
    runs = {run: items['uncertainty'] for run, items in found.explained.items() if 'uncertainty' in items}
    if not runs:
        return None
    methods = {run: found.config['runs'].get(run, {}).get('method', '') for run in runs}
    tables = {
        'uncertainty': [row for run, figures in runs.items() for row in summary(run, figures)],
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
            for target, value in predictor['auc'].items():
                low, high = value['interval'] or (None, None)
                row |= {f'auc_{target}': value['value'], f'auc_{target}_low': low, f'auc_{target}_high': high}
            rows.append(row)
    return rows


def curves(run: str, figures: Mapping) -> list[Row]:
    """Shares caught by share flagged, 0 to 1."""
    return [
        {'run': run, 'positions_counted': which, 'predictor': name, 'flagged': flagged}
        | {f'{target}_caught': shares[index] for target, shares in predictor['caught'].items()}
        for which in _WHICH
        for name, predictor in figures[which]['predictors'].items()
        for index, flagged in enumerate(figures['flagged'])
    ]


def _sentence(run: str, figures: Mapping) -> str:
    area, undecided = figures['predictors']['base_probability']['auc']['shifted'], figures['undecided']
    if area['value'] is None:
        return f'{run}: no position is shifted, so nothing can be predicted.'
    spread = ' [{}, {}]'.format(*map(number, area['interval'])) if area['interval'] else ''
    text = (
        f'{run}: the probability of the base’s likeliest token tells shifted positions from others with an AUC of '
        f'{number(area["value"])}{spread}'
    )
    if undecided['positions']:
        text += (
            f'; where it is below 1/2 ({100 * undecided["share"]:.3g} % of '
            f'{counted(figures["positions"], "position")}) '
            f'lie {100 * undecided["caught"]["shifted"]:.3g} % of the shifted ones, and of them '
            f'{100 * undecided["precision"]["shifted"]:.3g} % are shifted'
        )
    return f'{text}.'


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
        axes.plot([0, 100], [0, 100], color=style.GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(title=title, xlabel='positions flagged, %', xlim=(0, 100), ylim=(0, 102))
    panels[0].set_ylabel('shifted positions caught, %')
    figure.legend(handles=panels[0].lines[:-1], loc='outside upper left', ncols=4)
    return figure
