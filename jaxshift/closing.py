"""What is told at the end: how far each run shifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxshift.report.wording import number
from jaxshift.shift import summary
from jaxshift.shift.classes import CLASSES
from jaxshift.study import Study
from jaxshift.terminal import table


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
    lines: list[tuple[str, ...]] = [('run', 'mean KL', '95 % interval', 'base prob', *CLASSES)]
    for name, objects in summaries.items():
        figures = [item['all'] for item in summary.of_windows(objects, windows)][:1]
        cells = [_cells(each) for each in figures] or [('–',) * (len(lines[0]) - 1)]
        lines.append((name, *cells[0]))
    return lines


def _cells(figures: Mapping[str, Any]) -> tuple[str, ...]:
    kl = figures['kl_tuned_base']
    interval = ' to '.join(map(number, kl['interval'])) if kl['interval'] else '–'
    shares = (f'{figures["shares"][name]["mean"]:.1f} %' for name in CLASSES)
    return number(kl['mean']), interval, number(figures['base_probability']['mean']), *shares
