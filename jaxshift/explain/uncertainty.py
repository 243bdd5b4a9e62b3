"""Whether a run shifts where the base was uncertain, from the token records."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from jaxshift import depends
from jaxshift.causes import uncertainty
from jaxshift.depends import Settings
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.shift import records, summary
from jaxshift.study import Study


def _settings(study: Study, run: str) -> Settings:
    asked = study.experiment
    return {
        'seed': asked.seed,
        'bootstrap': asked.sweep.bootstrap,
        'stop_ids': list(study.template.stop_ids),
        **depends.of_samples(study),
        'summary': study.ledger.result('summary', run, depends.of_summary(study, run)),
    }


def _work(study: Study, run: str) -> list[Path]:
    windows, rows = _rows(study, run)
    asked, choices = study.experiment, {'all': rows, 'without_end': summary.without_end(rows, study.template.stop_ids)}
    found = {
        name: uncertainty.figures(each, asked.sweep.bootstrap, asked.seed, asked.respond.samples)
        for name, each in choices.items()
    }
    return keep(study, run, 'uncertainty', {'windows': windows, 'flagged': uncertainty.FLAGGED, **found})


def _rows(study: Study, run: str) -> tuple[dict, pa.Table]:
    """The windows that the report shows of the run, and their records: of several steps those of the last."""
    folder = study.workdir.run(run)
    objects = summary.read(folder / 'summary.json')
    windows = summary.headline([objects])
    keys = [*summary.GROUP, *(['step'] if 'step' in objects[0] else [])]
    table = records.read(folder / 'tokens', [*keys, *uncertainty.COLUMNS])
    return windows, next(rows for key, rows in summary.groups(table) if windows.items() <= key.items())


ANALYSIS = Analysis(lambda study: True, _settings, _work)
