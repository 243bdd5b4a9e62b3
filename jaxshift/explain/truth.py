"""Holds a run of the controlled world to its truth."""

from __future__ import annotations

import json
from pathlib import Path

from jaxshift import depends
from jaxshift.causes import truth
from jaxshift.depends import Settings
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.respond import responses
from jaxshift.shift import records
from jaxshift.study import Study


def _settings(study: Study, run: str) -> Settings:
    return depends.of_truth(study, run, facts_path(study))


def _work(study: Study, run: str) -> list[Path]:
    facts, folder = json.loads(facts_path(study).read_text()), study.workdir.run(run)
    seed, samples = study.experiment.seed, study.experiment.respond.samples
    base = truth.of_responses(facts, responses.read(study.workdir.responses(depends.BASE)), seed, samples)
    answered, rows = responses.read(study.workdir.responses(run)), records.read(folder / 'tokens')
    found = truth.truth(facts, answered, rows, study.pieces, seed, samples)
    return keep(study, run, 'truth', found | {f'base_{key}': value for key, value in base.items()})


def _applies(study: Study) -> bool:
    if study.experiment.world is None:
        study.say('truth: passed over; facts are known in the controlled world alone, which config.world sets')
    return study.experiment.world is not None


def facts_path(study: Study) -> Path:
    """The facts of the controlled world."""
    return study.workdir.data / 'world' / 'facts.json'


ANALYSIS = Analysis(_applies, _settings, _work)
