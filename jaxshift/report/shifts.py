"""How far each run shifted, as it is told at the end of a study or a grid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jaxshift.report.tables import Row
from jaxshift.report.wording import number
from jaxshift.shift import summary
from jaxshift.shift.classes import CLASSES

FIGURES = ('mean KL', '95 % interval', 'base prob', *CLASSES)


def title(of: str, windows: Sequence[Mapping[str, Any]]) -> str:
    """What stands above the lines; tells windows that are not the plain ones.

    Args:
      of: 'each run', for one.
      windows: those of the figures below; there may be several of a grid.
    """
    several = any(each != windows[0] for each in windows)
    told = 'of several windows' if several else summary.described(windows[0])
    among = '' if windows[0] == summary.PLAIN and not several else f' ({told})'
    return f'shift of {of}{among}; KL(tuned || base) in nats'


def of_runs(summaries: Mapping[str, Sequence[dict[str, Any]]], windows: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Headings, and a line a run.

    Args:
      summaries: the objects of summary.json by run.
      windows: those to show; a run that lacks them has dashes.
    """
    lines: list[tuple[str, ...]] = [('run', *FIGURES)]
    for name, objects in summaries.items():
        figures = [item['all'] for item in summary.of_windows(objects, windows)][:1]
        cells = [_of_summary(each) for each in figures] or [('–',) * len(FIGURES)]
        lines.append((name, *cells[0]))
    return lines


def over_seeds(means: Sequence[Row], keys: Collection[str]) -> list[tuple[str, ...]]:
    """Headings, and a line for each run and whatever else tells the rows of a grid's table `means` apart.

    Args:
      means: rows of runs over seeds.
      keys: columns that name what a run was tuned on and from; one that is the same in all rows is left out.
    """
    apart = [key for key in keys if len({row[key] for row in means}) > 1]
    lines: list[tuple[str, ...]] = [('run', *apart, 'seeds', *FIGURES)]
    for row in means:
        bounds = [row[f'kl_tuned_base_{end}'] for end in ('low', 'high')]
        cells = _cells(row['kl_tuned_base'], bounds, row['base_probability'], [row[name] for name in CLASSES])
        lines.append((row['run'], *(str(row[key]) for key in apart), str(row['seeds']), *cells))
    return lines


def _of_summary(figures: Mapping[str, Any]) -> tuple[str, ...]:
    kl, shares = figures['kl_tuned_base'], figures['shares']
    bounds, probability = kl['interval'] or (None, None), figures['base_probability']['mean']
    return _cells(kl['mean'], bounds, probability, [shares[name]['mean'] for name in CLASSES])


def _cells(kl: float, bounds: Sequence[float | None], probability: float, shares: Sequence[float]) -> tuple[str, ...]:
    low, high = bounds
    interval = '–' if low is None or high is None else f'{number(low)} to {number(high)}'
    return number(kl), interval, number(probability), *(f'{share:.1f} %' for share in shares)
