"""The stage itself: every analysis that the config names, on every run."""

from __future__ import annotations

from functools import partial

from jaxshift.explain import (
    analysis,
    borrowing,
    dynamics,
    forgetting,
    imitation,
    interpolation,
    knowledge,
    retraining,
    style_tokens,
    swaps,
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
    retraining.NAME: retraining.ANALYSIS,
    'uncertainty': uncertainty.ANALYSIS,
    'knowledge': knowledge.ANALYSIS,
    'forgetting': forgetting.ANALYSIS,
    'weights': weights.ANALYSIS,
    'interpolation': interpolation.ANALYSIS,
    'swaps': swaps.ANALYSIS,
    'dynamics': dynamics.ANALYSIS,
}


def computes(study: Study) -> bool:
    """Whether an analysis that the config names needs a model."""
    return any(ANALYSES[asked].computes for asked in _asked(study))


def explain_all(study: Study) -> None:
    """Asks of every run why it shifted."""
    for asked in _asked(study):
        found = ANALYSES[asked]
        if found.applies(study):
            if found.prepare:
                found.prepare(study)
            for run in study.only:
                if reason := found.lacking(study, run):
                    study.say(f'{asked} {run}: passed over; {reason}')
                    continue
                work, clear = partial(found.work, study, run), partial(analysis.clear, study, run, asked)
                name = f'{run}.{asked}'
                study.ledger.do('causes', name, found.settings(study, run), work, clear, shared=found.computes)
                study.stop.check()  # the next one may take hours


def _asked(study: Study) -> tuple[str, ...]:
    causes = study.experiment.causes
    return (*causes.analyses, retraining.NAME) if causes.retrain else tuple(causes.analyses)
