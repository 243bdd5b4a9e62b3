"""Whether a run shifts where the base was uncertain, from the token records."""

from __future__ import annotations

from pathlib import Path

from jaxshift import depends
from jaxshift.causes import uncertainty
from jaxshift.depends import Settings
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.explain.windows import headline
from jaxshift.shift import summary
from jaxshift.study import Study


def _settings(study: Study, run: str) -> Settings:
    asked = study.experiment
    return {
        'seed': asked.seed,
        'bootstrap': asked.sweep.bootstrap,
        'flagged': list(uncertainty.FLAGGED),
        'stop_ids': list(study.template.stop_ids),
        **depends.of_samples(study),
        'tokens': study.ledger.result('sweep', run, depends.of_records(study, run)),
    }


def _work(study: Study, run: str) -> list[Path]:
    windows, rows = headline(study, run, uncertainty.COLUMNS)
    asked, choices = study.experiment, {'all': rows, 'without_end': summary.without_end(rows, study.template.stop_ids)}
    found = {
        name: uncertainty.figures(each, asked.sweep.bootstrap, asked.seed, asked.respond.samples)
        for name, each in choices.items()
    }
    return keep(study, run, 'uncertainty', {'windows': windows, 'flagged': uncertainty.FLAGGED, **found})


ANALYSIS = Analysis(lambda study: True, _settings, _work)
