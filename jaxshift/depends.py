"""What the result of each stage depends on: the settings that the ledger keeps and compares."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxshift import treatments
from jaxshift.config import Respond, Run
from jaxshift.errors import InputError
from jaxshift.store import ledger, manifest
from jaxshift.study import Study, file_hash
from jaxshift.weights.peft import Adapter

BASE = 'base'  # names the base's own responses among those of the runs
# Settings of a run that change nothing of what it learns.
WATCHED_ONLY = ('log_every', 'eval_every', 'checkpoint_every', 'keep_steps', 'remat')

_OF_DATA = ('treatment',)  # settings of a run that say which data it has: see `asked_of_data`
_PLAIN_DECODING = ('max_new_tokens', 'batch_size')

Settings = dict[str, Any]


def of_world(study: Study) -> Settings:
    asked = dataclasses.asdict(study.world)
    return {'world': {key: value for key, value in asked.items() if key not in ('pretraining', 'gate')}}


def of_base(study: Study) -> Settings:
    """A base that is made here."""
    asked = dataclasses.asdict(study.world) | {'pretraining': of_run(study.world.pretraining)}
    return {'world': asked, 'dtype': study.experiment.base.dtype}


def of_data(study: Study, treatment: str = '') -> Settings:
    return asked_of_data(study, treatment) | {
        'records': treatments.records_hash(study, treatment),
        **treatments.scored_by(study, treatment),
        'template': study.template.text_hash,
        'tokenizer': study.tokenizer_hash,
    }


def asked_of_data(study: Study, treatment: str = '') -> Settings:
    return {'data': dataclasses.asdict(study.experiment.data)} | treatments.asked(study, treatment)


def of_run(run: Run) -> Settings:
    """Of the settings of a run, those that its result depends on."""
    # With dropout each micro-batch draws its own mask.
    watched = WATCHED_ONLY if run.dropout else (*WATCHED_ONLY, 'micro_batch_size')
    return {key: value for key, value in dataclasses.asdict(run).items() if key not in (*watched, *_OF_DATA)}


def of_training(study: Study, run: Run) -> Settings:
    asked = asked_of_data(study, run.treatment)
    return asked | {
        'run': of_run(run),
        'base': study.base.fingerprint,
        **study.precision,
        'data_files': study.ledger.finished('data', run.treatment, asked),
    }


def of_responses(study: Study, name: str) -> Settings:
    asked, plain = dataclasses.asdict(study.experiment.respond), dataclasses.asdict(Respond())
    # Of the other keys only those that are used, so that a greedy response does not hang on what draws would need.
    unused = _PLAIN_DECODING if asked['temperature'] else (*_PLAIN_DECODING, 'top_k', 'top_p', 'seed')
    drawn = {key: value for key, value in asked.items() if value != plain[key] and key not in unused}
    return {
        **of_prompts(study),
        'reading': study.reading,
        'max_new_tokens': asked['max_new_tokens'],
        **drawn,
        'model': study.base.fingerprint if name == BASE else model_key(study, name),
    }


def of_prompts(study: Study) -> Settings:
    asked = study.experiment.prompts
    return {
        'prompts': dataclasses.asdict(asked),
        'drawn': {} if asked.source else asked_of_data(study),
        'records': study.prompts_hash,
        'template': study.template.text_hash,
    }


def check_responses(study: Study, source: str) -> None:
    """Refuses responses that were made here with other settings; those of another tool are taken as they are."""
    if ledger.read(study.workdir.done('respond', source)):
        study.ledger.finished('respond', source, of_responses(study, source))


def response_source(study: Study, name: str, context: str) -> str:
    """Whose responses the windows of a run follow in a context: a run's or the base's; '' where the data have them."""
    shared = study.experiment.sweep.shared_from or next(iter(study.experiment.runs))
    return {'own': name, 'shared': shared, 'base': BASE, 'reference': ''}[context]


def _windows(study: Study, name: str) -> Settings:
    """The files that the windows come from: responses by context, and the prompts where these do not hold all."""
    asked = study.experiment.sweep
    sources = {context: response_source(study, name, context) for context in asked.contexts}
    found: Settings = {
        'responses': {each: file_hash(study.workdir.responses(source)) for each, source in sources.items() if source}
    }
    if '' in sources.values() or set(asked.templates) != {'matched'}:
        found |= of_prompts(study) | of_samples(study)
    return found


def of_samples(study: Study) -> Settings:
    """Tells which responses have one prompt, of those that another tool has written too."""
    return {'samples': study.experiment.respond.samples}


def of_records(study: Study, name: str) -> Settings:
    """The token records of a run."""
    asked = dataclasses.asdict(study.experiment.sweep)
    return {
        'sweep': {k: v for k, v in asked.items() if k not in ('bootstrap', 'chunk', 'shared_from', 'spmd')},
        **_windows(study, name),
        'reading': study.reading,
        'base': study.base.fingerprint,
        'model': model_key(study, name),
    }


def of_summary(study: Study, name: str) -> Settings:
    asked = study.experiment
    sweep = dataclasses.asdict(asked.sweep)
    return {
        'seed': asked.seed,
        'sweep': {key: value for key, value in sweep.items() if key != 'spmd'},
        'run': of_run(asked.runs[name]),
        **_windows(study, name),
        **of_samples(study),
        'reading': study.reading,
        'tokens': study.ledger.result('sweep', name, of_records(study, name)),
    }


def of_truth(study: Study, name: str, facts: Path) -> Settings:
    return {
        'seed': study.experiment.seed,
        'facts': file_hash(facts),
        'base_responses': file_hash(study.workdir.responses(BASE)),
        'responses': file_hash(study.workdir.responses(name)),
        **of_samples(study),
        'reading': study.reading,
        'tokens': study.ledger.result('sweep', name, of_records(study, name)),
    }


def of_judgements(study: Study, name: str, judge: Settings) -> Settings:
    """What a judge says of a run; `judge` holds who it is: settings of its kind, and hashes of its model or file."""
    return {
        'judge': judge,
        'safety': study.experiment.judge.safety,
        'responses': file_hash(study.workdir.responses(name)),
        **of_samples(study),
    }


def of_pairs(study: Study, name: str, judge: Settings) -> Settings:
    """What it says of them beside those of another run."""
    other = study.experiment.judge.pairwise
    return of_judgements(study, name, judge) | {
        'other': other, 'other_responses': file_hash(study.workdir.responses(other)),
    }  # fmt: skip


def of_scores(study: Study, files: Sequence[Path], groups: Any) -> Settings:
    """The figures of a judge on a run: `files` are what it said, `groups` the tags of the prompts."""
    return {
        'seed': study.experiment.seed,
        'bootstrap': study.experiment.sweep.bootstrap,
        **of_samples(study),
        'groups': hashlib.sha256(json.dumps(groups, sort_keys=True).encode()).hexdigest(),
        'judged': {path.name: file_hash(path) for path in files},
    }


def of_report(study: Study) -> Settings:
    names = ('summary.json', 'metrics.jsonl', 'responses.jsonl', 'causes/*.json', 'causes/*.parquet')
    judged = ('judge/*.json', 'judge/*.jsonl', 'evaluate/forgetting.json')
    shown = [*(f'runs/*/{name}' for name in names + judged), 'done/summary-*.json']
    kept = [path for pattern in shown for path in study.workdir.root.glob(pattern)]
    config = dataclasses.asdict(study.experiment)
    return {
        'config': {
            key: value for key, value in config.items() if key not in ('process', 'export', 'sheet', 'trackers')
        },
        'reading': study.reading,
        'files': manifest.digests(study.workdir.root, kept),
    }


def model_key(study: Study, name: str, step: int | None = None) -> str:
    """Names the tuned parameters of a run, those of its last step or of another."""
    if study.experiment.runs[name].method == 'given':
        given = study.given[name]
        # An adapter is nothing without its base.
        return f'{study.base.fingerprint}+{given.fingerprint}' if isinstance(given, Adapter) else given.fingerprint
    return kept_checkpoint(study, name, step)[1]


def kept_checkpoint(study: Study, name: str, step: int | None = None) -> tuple[Path, str]:
    """A checkpoint that a finished run keeps, by default the last: its folder and SHA-256 of its manifest.

    Raises:
      InputError: none of that step; names those there are.
    """
    files = study.ledger.result('train', name, of_training(study, study.experiment.runs[name]))
    kept = {int(Path(path).parent.name): path for path in files if path.endswith(f'/{manifest.NAME}')}
    path = kept.get(max(kept) if step is None else step)
    if path is None:
        there = ', '.join(map(str, sorted(kept)))
        raise InputError(
            f'run {name} keeps no checkpoint of step {step}, it has {there}; config.runs.{name}.keep_steps must name '
            'a step before the run is trained'
        )
    return study.workdir.root / Path(path).parent, files[path]['sha256']
