"""What is told at the end: how far each run shifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxshift.grid.pairing import KEY
from jaxshift.report.tables import Row
from jaxshift.report.wording import number
from jaxshift.shift import summary
from jaxshift.shift.classes import CLASSES
from jaxshift.study import Study
from jaxshift.terminal import table

FIGURES = ('mean KL', '95 % interval', 'base prob', *CLASSES)


def tell(study: Study) -> None:
    """Prints a line for each run of the workdir that has been compared, of the windows that the report shows."""
    paths = {name: study.workdir.run(name) / 'summary.json' for name in study.experiment.runs}
    summaries = {name: summary.read(path) for name, path in paths.items() if path.exists()}
    if summaries:
        windows = summary.headline(summaries.values())
        among = '' if windows == summary.PLAIN else f' ({summary.described(windows)})'
        study.say(f'shift of each run{among}; KL(tuned || base) in nats')
        table(rows(summaries, windows))


def rows(summaries: Mapping[str, Sequence[dict[str, Any]]], windows: Mapping[str, Any]) -> list[tuple[str, ...]]:
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


def grid_rows(means: Sequence[Row]) -> list[tuple[str, ...]]:
    """Headings, and a line for each base, data set, size and run of a grid, from its table of means over seeds.

    What all cells share has no column.
    """
    apart = [key for key in KEY if len({row[key] for row in means}) > 1]
    lines: list[tuple[str, ...]] = [(*apart, 'run', 'seeds', *FIGURES)]
    for row in means:
        bounds = [row[f'kl_tuned_base_{end}'] for end in ('low', 'high')]
        cells = _cells(row['kl_tuned_base'], bounds, row['base_probability'], [row[name] for name in CLASSES])
        lines.append((*(str(row[key]) for key in apart), row['run'], str(row['seeds']), *cells))
    return lines


def _of_summary(figures: Mapping[str, Any]) -> tuple[str, ...]:
    kl, shares = figures['kl_tuned_base'], figures['shares']
    bounds, probability = kl['interval'] or (None, None), figures['base_probability']['mean']
    return _cells(kl['mean'], bounds, probability, [shares[name]['mean'] for name in CLASSES])


def _cells(kl: float, bounds: Sequence[float | None], probability: float, shares: Sequence[float]) -> tuple[str, ...]:
    low, high = bounds
    interval = '–' if low is None or high is None else f'{number(low)} to {number(high)}'
    return number(kl), interval, number(probability), *(f'{share:.1f} %' for share in shares)
