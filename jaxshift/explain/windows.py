"""The token records that an analysis reads: one kind of windows of a run, at its last step."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from jaxshift.shift import records, summary
from jaxshift.study import Study

_KEYS = ('run', 'context', 'template', 'context_length', 'example_id', 'position')


def headline(study: Study, run: str, columns: Sequence[str]) -> tuple[dict, pa.Table]:
    """Which windows the report would show of this run alone, and their records in the order of `curves.in_order`."""
    steps = ('step',) if study.experiment.sweep.steps and study.experiment.runs[run].method != 'given' else ()
    table = records.read(study.workdir.run(run) / 'tokens', [*_KEYS, *columns, *steps])
    found = list(summary.groups(table))
    windows = summary.headline([[key for key, _ in found]])
    rows = [(key.get('step', 0), rows) for key, rows in found if windows.items() <= key.items()]
    return windows, max(rows, key=lambda each: each[0])[1]
