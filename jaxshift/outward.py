"""What the results that other tools make or take depend on: evaluations and exports; see `depends`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from jaxshift import depends
from jaxshift.depends import Settings
from jaxshift.evaluate import harness
from jaxshift.store import ledger
from jaxshift.study import Study, file_hash


def of_evaluation(study: Study, name: str) -> Settings:
    asked = dataclasses.asdict(study.experiment.evaluate)
    written = {'chat_template': study.tokenizer.chat_template} if asked['apply_chat_template'] else {}
    return {
        'evaluate': {key: value for key, value in asked.items() if key != 'batch_size'},
        'task_files': harness.fingerprints(asked['tasks']),
        'lm_eval': harness.version(),
        'reading': study.reading,
        **written,
        **of_evaluated(study, name),
    }


def of_evaluated(study: Study, name: str) -> Settings:
    """The model alone."""
    return {'model': study.base.fingerprint if name == depends.BASE else depends.model_key(study, name)}


def of_forgetting(study: Study, name: str) -> Settings:
    return {
        'seed': study.experiment.seed,
        'bootstrap': study.experiment.evaluate.bootstrap,
        **{each: study.ledger.result('evaluate', each, of_evaluation(study, each)) for each in (depends.BASE, name)},
    }


def of_export(study: Study, name: str) -> Settings:
    """Weights and tokenizers of a run, for other tools."""
    asked = study.experiment.export
    return {
        'export': {'dtype': asked.dtype, 'shard_size': asked.shard_size},
        'reading': study.reading,
        'template': study.template.text_hash,
        'model': depends.model_key(study, name),
    }


def of_measured(study: Study, name: str) -> Settings:
    """What was asked of the sweep behind a run's summary.json, whatever the config asks for now; {} without one.

    Raises:
      InputError: it is not of this run on this base as they are, or not finished.
    """
    if not (study.workdir.run(name) / 'summary.json').is_file():
        return {}
    model = {'base': study.base.fingerprint, 'model': depends.model_key(study, name)}
    tokens = study.ledger.finished('sweep', name, model)
    study.ledger.finished('summary', name, {'reading': study.reading, 'tokens': tokens})
    record = ledger.read(study.workdir.done('summary', name))
    return {} if record is None else record['settings']['sweep']


def of_card(study: Study, name: str) -> Settings:
    summary = study.workdir.run(name) / 'summary.json'
    return {
        'files': study.ledger.result('export', name, of_export(study, name)),
        'run': depends.of_run(study.experiment.runs[name]),
        'base': study.base.model_id,
        'name': study.experiment.name,
        'summary': file_hash(summary) if summary.is_file() else '',
        'sweep': of_measured(study, name),
    }


def of_answers(study: Study, name: str, judged: Sequence[Path]) -> Settings:
    """Responses in the formats of evaluations, with what the records of their prompts and the judges' files say."""
    return {
        'responses': file_hash(study.workdir.responses(name)),
        'judged': {path.name: file_hash(path) for path in judged},
        **depends.of_prompts(study),
        **depends.of_samples(study),
    }


def of_verification(study: Study, name: str) -> Settings:
    """The distances between a run and its export."""
    return {
        'files': study.ledger.result('export', name, of_export(study, name)),
        'responses': file_hash(study.workdir.responses(name)),
        'count': study.experiment.export.verify_responses,
    }
