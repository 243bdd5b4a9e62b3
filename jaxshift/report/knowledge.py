"""What the base knew and tuning did with it, and what tuning changed on general text: two parts of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxshift.causes.knowledge import BINS
from jaxshift.report import style
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number

_PANELS = {
    'after': 'answers that are right after tuning',
    'kl_tuned_base': 'mean KL(tuned ‖ base), nats',
    'shifted': 'shifted positions, %',
}
_MEASURES = ('base_entropy', 'cross_entropy', 'kl_base_tuned', 'base_loss', 'tuned_loss', 'same_top_1')


def knowledge(found: Results) -> Section | None:
    """Accuracy and shift by how well the base knew the facts."""
    asked = _of(found, 'knowledge')
    rows = [{'run': run, **row} for run, figures in asked.items() for row in figures['bins']]
    if not rows:
        return None
    first = next(iter(asked.values()))
    sentences = [
        f'The base was asked every fact once greedily and {number(first["draws"])} times by drawing. Highly known: all '
        'answers right; maybe known: the greedy one, but not all draws; weakly known: a draw, but not the greedy one; '
        'unknown: none (after Gekhman et al., arXiv 2405.05904). What the base gets right makes the bin; what the run '
        f'gets right is the finding. Of every answer the first {number(first["answer_tokens"])} tokens count. Shift is '
        f'that of {first["windows"]}. Intervals are over facts.',
        *(f'{run}: {_sentence([row for row in rows if row["run"] == run])}.' for run in asked),
    ]
    caption = 'Facts by what the base knew of them: answers that are right after tuning, and the shift on the way.'
    return Section(
        'What the base knew', sentences, {'knowledge': rows}, {'knowledge': (bins(rows, _methods(found)), caption)}
    )


def forgetting(found: Results) -> Section | None:
    """The tuned models on text that tuning was not about."""
    rows: list[Row] = []
    for run, figures in _of(found, 'forgetting').items():
        row: Row = {'run': run, 'text': figures['text'], 'positions': figures['positions']}
        for name in _MEASURES:
            low, high = figures[name]['interval'] or (None, None)
            row |= {name: figures[name]['mean'], f'{name}_low': low, f'{name}_high': high}
        rows.append(row)
    if not rows:
        return None
    sentences = [
        'Both models read plain text that tuning was not about. Cross-entropy is that of the tuned model to the '
        "base's own predictions: without forgetting it is the base's entropy, and what it has above that is KL(base ‖ "
        'tuned). Intervals are over passages.',
        *(f'{row["run"]}: {_forgot(row)}.' for row in rows),
    ]
    caption = 'Forgetting on general text. Bars: 95 % intervals over passages.'
    figure = forgotten(rows, _methods(found)), caption
    return Section('Forgetting on general text', sentences, {'forgetting_text': rows}, {'forgetting_text': figure})


@style.styled
def bins(rows: Sequence[Row], methods: Mapping[str, str]) -> Figure:
    """One panel a measure: bins across, a mark with its interval for each run."""
    names, looks = [name for name in BINS if any(row['bin'] == name for row in rows)], style.run_styles(methods)
    figure = Figure(figsize=(style.WIDTH, 2.9))
    panels: Sequence[Axes] = figure.subplots(1, len(_PANELS))
    for axes, (measure, title) in zip(panels, _PANELS.items(), strict=True):
        for number_, (run, look) in enumerate(looks.items()):
            own = [row for row in rows if row['run'] == run and row[measure] is not None]
            shift = 0.5 * ((number_ + 0.5) / len(looks) - 0.5)
            for row in own:
                axes.errorbar(
                    names.index(row['bin']) + shift, row[measure], yerr=style.errors(row, measure), capsize=2,
                    label=style.label(run) if row is own[0] else None, color=look['color'], marker=look['marker'],
                    linestyle='none', markersize=4,
                )  # fmt: skip
        axes.set_xticks(range(len(names)), [name.replace(' ', '\n') for name in names])
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(*((-0.04, 1.04) if measure == 'after' else (0, None)))
        axes.set_title(title, fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=min(4, len(labels)))
    return figure


@style.styled
def forgotten(rows: Sequence[Row], methods: Mapping[str, str]) -> Figure:
    """KL(base ‖ tuned) on general text, one line a run."""
    looks = style.run_styles(methods)
    figure = Figure(figsize=(style.WIDTH, 0.9 + 0.3 * len(rows)))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        look = {key: looks[row['run']][key] for key in ('color', 'marker')}
        axes.errorbar(row['kl_base_tuned'], place, xerr=style.errors(row, 'kl_base_tuned'), capsize=3, **look)
    style.names_axis(axes, [style.label(row['run']) for row in rows])
    axes.set_xlim(left=0)
    axes.set_xlabel('KL(base ‖ tuned) on general text, nats a token')
    return figure


def _of(found: Results, analysis: str) -> dict[str, dict[str, Any]]:
    return {run: items[analysis] for run, items in found.explained.items() if analysis in items}


def _methods(found: Results) -> dict[str, str]:
    return {run: found.config['runs'].get(run, {}).get('method', '') for run in found.explained}


def _sentence(rows: Sequence[Row]) -> str:
    return '; '.join(
        f'of {counted(row["facts"], row["bin"] + " fact")} {number(100 * row["after"])} % '
        f'{_interval(row)}are right after tuning'
        for row in rows
    )


def _interval(row: Row) -> str:
    low, high = row['after_low'], row['after_high']
    return '' if low is None else f'[{number(100 * low)}, {number(100 * high)}] '


def _forgot(row: Row) -> str:
    low, high = row['kl_base_tuned_low'], row['kl_base_tuned_high']
    interval = '' if low is None else f' [{number(low)}, {number(high)}]'
    return (
        f'cross-entropy {number(row["cross_entropy"])} nats a token, entropy {number(row["base_entropy"])}: '
        f'{number(row["kl_base_tuned"])}{interval} more'
    )
