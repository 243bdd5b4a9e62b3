"""The section of weight space: how much each run changed its weights, in how many directions, and in which new ones."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxshift.report import style
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number

_CAPTION = (
    'Left: how much of the squared change lies in its first directions, mean over modules, and where 90 % of it are '
    'reached; right: intruder dimensions of a module, mean over those of a layer.'
)


def section(found: Results) -> Section | None:
    """What weights.json of all runs say."""
    runs = {run: found.explained[run]['weights'] for run in found.explained if 'weights' in found.explained[run]}
    if not runs:
        return None
    asked = next(iter(runs.values()))
    sentences = [
        'A change is what tuning added to a weight. Its effective rank is the least number of directions with '
        f'{100 * asked["share"]:g} % of its squared spectrum. Intruder dimensions are, of the first '
        f'{counted(asked["directions"], "left singular vector")} of a tuned projection, those whose |cosine| with '
        f'every one of the base’s is below {number(asked["epsilon"])}.',
        *(_sentence(run, figures) for run, figures in runs.items()),
    ]
    rows = [row for run, figures in runs.items() for row in kinds(run, figures)]
    changed = {run: figures['modules'] for run, figures in runs.items() if figures['modules']}
    methods = {run: found.config['runs'].get(run, {}).get('method', '') for run in changed}
    drawn = {'weights': (spectra(changed, methods), _CAPTION)} if changed else {}
    return Section('What tuning did to the weights', sentences, {'weights': rows}, drawn)


def kinds(run: str, figures: Mapping) -> list[Row]:
    """One row for each kind of parameter that a run changed; norms are over all its modules together."""
    found: dict[str, list[Row]] = defaultdict(list)
    for module in figures['modules']:
        found[module['kind']].append(module)
    return [
        {
            'run': run,
            'kind': kind,
            'modules': len(modules),
            'relative_norm': _relative(modules),
            'effective_rank_median': _median(modules, 'effective_rank'),
            'effective_rank_greatest': max((m['effective_rank'] for m in modules if m['effective_rank']), default=None),
            'stable_rank_median': _median(modules, 'stable_rank'),
            'intruders': sum(m['intruders'] or 0 for m in modules) if _of(modules, 'intruders') else None,
            'intruders_a_module': float(np.mean(_of(modules, 'intruders'))) if _of(modules, 'intruders') else None,
        }
        for kind, modules in found.items()
    ]


def _sentence(run: str, figures: Mapping) -> str:
    modules, rest = figures['modules'], counted(figures['unchanged'], 'module')
    if not modules:
        return f'{run}: no weight changed.'
    ranked, intruders = [m for m in modules if m['effective_rank']], _of(modules, 'intruders')
    text = (
        f'{run}: changed {counted(len(modules), "module")} by {100 * _relative(modules):.3g} % of their norm and left '
        f'{rest} alone'
    )
    if ranked:
        text += (
            f'; effective rank {number(_median(ranked, "effective_rank"))} in the median, '
            f'{max(m["effective_rank"] for m in ranked)} at most; stable rank '
            f'{number(_median(ranked, "stable_rank"))} in the median'
        )
    if intruders:
        looked_at = int(sum(_of(modules, 'directions')))  # a small module has fewer than are asked for
        text += f'; {counted(int(sum(intruders)), "intruder dimension")} among {looked_at:,} directions'
    return f'{text}.'


def _relative(modules: Sequence[Row]) -> float:
    change, base = (math.sqrt(sum(m[key] ** 2 for m in modules)) for key in ('norm', 'base_norm'))
    return change / base if base else math.inf


def _of(modules: Sequence[Row], key: str) -> list[float]:
    return [m[key] for m in modules if m.get(key) is not None]


def _median(modules: Sequence[Row], key: str) -> float | None:
    values = _of(modules, key)
    return float(np.median(values)) if values else None


@style.styled
def spectra(runs: Mapping[str, Sequence[Row]], methods: Mapping[str, str]) -> Figure:
    """Share of the squared change by number of directions, and intruder dimensions by layer, a line a run."""
    figure = Figure(figsize=(style.WIDTH, 3.0))
    shares, intruders = figure.subplots(1, 2)
    for run, look in style.run_styles(methods).items():
        lists = [module['shares'] for module in runs[run] if module.get('shares')]
        if lists:
            # Beyond its smaller side a module has all of its change.
            longest = max(map(len, lists))
            mean = np.mean([each + [1.0] * (longest - len(each)) for each in lists], axis=0)
            shares.plot(2.0 ** np.arange(longest), 100 * mean, label=style.label(run), markersize=3, **look)
        layers = sorted({m['layer'] for m in runs[run] if m['intruders'] is not None})
        means = [np.mean(_of([m for m in runs[run] if m['layer'] == layer], 'intruders')) for layer in layers]
        intruders.plot(layers, means, markersize=3, **look)
    shares.axhline(90, color=style.GREY, linewidth=1, linestyle=(0, (4, 3)))
    style.log_axis(shares.xaxis, [1, 2, 4, 8, 16, 64])
    shares.set(xlabel='directions (log scale)', ylim=(0, 103), title='squared change in the first directions, %')
    intruders.set(xlabel='layer', title='intruder dimensions of a module')
    intruders.set_ylim(0, max(1.0, intruders.get_ylim()[1]))  # of none at all the scale would be of nothing
    intruders.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(handles=shares.lines[:-1], loc='outside upper left', ncols=4)
    return figure
