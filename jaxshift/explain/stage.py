"""The stage itself: every analysis that the config names, on every run."""

from __future__ import annotations

from functools import partial

from jaxshift.explain import (
    analysis,
    borrowing,
    forgetting,
    imitation,
    interpolation,
    knowledge,
    style_tokens,
    truth,
    uncertainty,
    weights,
)
from jaxshift.explain.analysis import Analysis
from jaxshift.study import Study

ANALYSES: dict[str, Analysis] = {
    'truth': truth.ANALYSIS,
    style_tokens.NAME: style_tokens.ANALYSIS,
    imitation.NAME: imitation.ANALYSIS,
    'borrowing': borrowing.ANALYSIS,
    'uncertainty': uncertainty.ANALYSIS,
    'knowledge': knowledge.ANALYSIS,
    'forgetting': forgetting.ANALYSIS,
    'weights': weights.ANALYSIS,
    'interpolation': interpolation.ANALYSIS,
}


def computes(study: Study) -> bool:
    """Whether an analysis that the config names needs a model."""
    return any(ANALYSES[asked].computes for asked in study.experiment.causes.analyses)


def explain_all(study: Study) -> None:
    """Asks of every run why it shifted."""
    for asked in study.experiment.causes.analyses:
        found = ANALYSES[asked]
        if found.applies(study):
            if found.prepare:
                found.prepare(study)
            for run in study.only:
                work, clear = partial(found.work, study, run), partial(analysis.clear, study, run, asked)
                name = f'{run}.{asked}'
                study.ledger.do('causes', name, found.settings(study, run), work, clear, shared=found.computes)
