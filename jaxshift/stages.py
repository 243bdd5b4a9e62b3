"""The order of the stages, what each reads and writes, and what is already done."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jaxshift import tuning
from jaxshift.causes import truth
from jaxshift.config import Run
from jaxshift.data import dataset, formats
from jaxshift.report import page
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.shift import records, summary
from jaxshift.shift.sweep import Pair, sweep
from jaxshift.store import manifest, paths
from jaxshift.study import Study, file_hash, parameters
from jaxshift.terminal import Bar
from jaxshift.tune.train import schedule


def data(study: Study) -> None:
    """Makes the controlled world, if there is one, and tokenises the instruction data."""
    experiment = study.experiment
    if experiment.world:
        settings: dict[str, Any] = {'world': dataclasses.asdict(experiment.world)}
        study.ledger.do('world', '', settings, lambda: tuning.write_world(study), None)
    if not experiment.data.source:
        return
    settings = {
        'data': dataclasses.asdict(experiment.data),
        'file': file_hash(study.data_file()),
        'template': study.template.text_hash,
        'tokenizer': study.tokenizer_hash,
    }
    study.ledger.do('data', '', settings, lambda: _tokenise(study), lambda: None)


def _tokenise(study: Study) -> list[Path]:
    settings, path = study.experiment.data, study.data_file()
    found = formats.read(path, settings.format, settings.on_bad_record, settings.limit)
    study.say(f'{path}: {len(found.examples)} records of format {found.format}, template {study.template.name}')
    made = dataset.build(
        study.workdir.data,
        found.examples,
        study.template,
        settings.max_length,
        settings.on_bad_record,
        found.refused,
    )
    counts = made.counts
    study.say(
        f'data: {counts["examples"]} examples, {counts["tokens"]} tokens, {counts["trained_tokens"]} trained; '
        f'{counts["cut"]} cut at {settings.max_length} tokens, {sum(counts["refused"].values())} refused'
    )
    return [path for path in study.workdir.data.iterdir() if path.is_file()]


def respond(study: Study) -> None:
    """Answers the prompts with every tuned model; in the controlled world with the base too."""
    settings = {
        'prompts': dataclasses.asdict(study.experiment.prompts),
        'file': file_hash(study.prompts_file()),
        'template': study.template.text_hash,
        'reading': study.reading,
        'max_new_tokens': study.experiment.respond.max_new_tokens,
    }
    # Before the ledger clears old responses for new settings: these may be refused.
    responses.check_prompts(study.prompts(), study.base.config)
    if study.experiment.world:
        made = settings | {'model': study.base.fingerprint}
        _answer(study, 'base', made, study.workdir.base / 'responses.jsonl', lambda: study.base_params)
    for name in study.only:
        made = settings | {'model': _model_key(study, name)}
        _answer(study, name, made, study.workdir.run(name) / 'responses.jsonl', partial(tuning.tuned, study, name))


def _answer(study: Study, name: str, settings: dict, path: Path, params: Callable[[], dict]) -> None:
    def work() -> list[Path]:
        limits = study.experiment.respond
        decoder = Decoder(
            study.base.config, study.experiment.base.dtype, study.template.stop_ids, limits.max_new_tokens
        )
        with Bar(f'respond {name}') as bar:
            responses.respond(
                decoder, params(), study.prompts(), study.tokenizer, path, limits.batch_size, study.stop, bar
            )
        return [path]

    def clear() -> None:
        for left in (path, path.with_name(path.name + '.partial')):
            left.unlink(missing_ok=True)

    study.ledger.do('respond', name, settings, work, clear)


def sweep_all(study: Study) -> None:
    """Compares base and tuned model at every window of every response of every run."""
    for name in study.only:
        settings = {
            'sweep': dataclasses.asdict(study.experiment.sweep),
            'seed': study.experiment.seed,
            'responses': file_hash(_responses(study, name)),
            'reading': study.reading,
            'base': study.base.fingerprint,
            'model': _model_key(study, name),
        }
        folder = study.workdir.run(name)
        study.ledger.do(
            'sweep',
            name,
            settings,
            partial(_compare, study, name),
            partial(shutil.rmtree, folder / 'tokens', ignore_errors=True),
        )


def _compare(study: Study, name: str) -> list[Path]:
    settings, run = study.experiment.sweep, study.experiment.runs[name]
    folder = study.workdir.run(name)
    paired = run.method == 'lora'
    params = tuning.tuned(study, name, paired)
    answered = responses.read(_responses(study, name))
    responses.check_tokens(answered, _responses(study, name), study.base.config)
    pair = Pair(study.base.config, study.experiment.base.dtype, paired)
    with Bar(f'sweep {name}') as bar:
        sweep(
            pair, params if paired else (study.base_params, params), answered, name, settings, study.mesh,
            folder / 'tokens', study.stop, bar,
        )  # fmt: skip
    rows = records.read(folder / 'tokens')
    end_ids, extra = study.template.stop_ids, _extra(study, name, run, answered)
    objects = summary.summarise(rows, pieces(study), end_ids, study.experiment.seed, settings.bootstrap, extra)
    summary.write(folder / 'summary.json', objects)
    head = objects[0]['all']
    mean = head['kl_tuned_base']['mean']
    study.say(f'{name}: mean KL(tuned || base) {mean:.4f} nats over {head["positions"]} windows')
    return [folder / 'summary.json', *sorted((folder / 'tokens').glob('part-*.parquet'))]


def _extra(study: Study, name: str, run: Run, answered: list[dict]) -> dict:
    """What a reader of summary.json must know beside the measures."""
    counts = {'empty_responses': sum(not row['token_ids'] for row in answered)}
    extra = {
        'run': name,
        'method': run.method,
        'cut_responses': sum(row.get('finish_reason') == 'length' for row in answered),
    }
    if run.method == 'given':
        return extra | {'counts': counts}
    made = dataset.open_dataset(study.workdir.data)
    return extra | {
        'learning_rate': run.learning_rate,
        'steps': schedule(run, made).steps,
        'trainable_parameters': parameters(tuning.start_shapes(study, run)),
        'counts': counts | {'refused_records': sum(made.counts['refused'].values()), 'cut_records': made.counts['cut']},
    }


def causes(study: Study) -> None:
    """Holds every run of the controlled world to its truth."""
    if not study.experiment.world:
        return
    facts_file = study.workdir.data / 'world' / 'facts.json'
    for name in study.only:
        settings = {
            'seed': study.experiment.seed,
            'responses': file_hash(_responses(study, name)),
            'tokens': manifest.digests(
                study.workdir.root, sorted((study.workdir.run(name) / 'tokens').glob('part-*.parquet'))
            ),
        }
        work = partial(_judge_by_truth, study, name, facts_file)
        study.ledger.do('causes', name, settings, work, lambda: None)


def _judge_by_truth(study: Study, name: str, facts_file: Path) -> list[Path]:
    facts = json.loads(facts_file.read_text())
    seed = study.experiment.seed
    base = truth.of_responses(facts, responses.read(study.workdir.base / 'responses.jsonl'), seed)
    found = truth.truth(
        facts,
        responses.read(_responses(study, name)),
        records.read(study.workdir.run(name) / 'tokens'),
        pieces(study),
        seed,
    )
    path = study.workdir.run(name) / 'causes' / 'truth.json'
    paths.write_json(path, found | {f'base_{key}': value for key, value in base.items()})
    return [path]


def report(study: Study) -> None:
    """Writes the page, its figures and its tables from the files of the other stages."""
    kept = [
        path
        for name in study.experiment.runs
        for path in (
            study.workdir.run(name) / 'summary.json',
            study.workdir.run(name) / 'metrics.jsonl',
            study.workdir.run(name) / 'causes' / 'truth.json',
        )
        if path.exists()
    ]
    settings = {'config': dataclasses.asdict(study.experiment), 'files': manifest.digests(study.workdir.root, kept)}

    def work() -> list[Path]:
        page.write(study.workdir.root, pieces(study), study.template.stop_ids)
        return [path for path in study.workdir.report.rglob('*') if path.is_file()]

    study.ledger.do('report', '', settings, work, lambda: shutil.rmtree(study.workdir.report, ignore_errors=True))
    study.say(f'report: {study.workdir.report / "index.html"}')


STAGES: dict[str, Callable[[Study], None]] = {
    'data': data,
    'train': tuning.train_all,
    'respond': respond,
    'sweep': sweep_all,
    'causes': causes,
    'report': report,
}


def run(study: Study, mode: str) -> None:
    """Every stage in order (`run`), or one of them."""
    for name, stage in STAGES.items():
        if mode in ('run', name):
            stage(study)
            study.stop.check()


def pieces(study: Study) -> list[str]:
    """Token id to decoded text, for every row of the embedding."""
    return study.tokenizer.batch_decode([[index] for index in range(study.base.config.vocab_size)])


def _responses(study: Study, name: str) -> Path:
    return study.workdir.run(name) / 'responses.jsonl'


def _model_key(study: Study, name: str) -> str:
    """Names the tuned parameters of a run in the settings of later stages."""
    if study.experiment.runs[name].method == 'given':
        return tuning.given(study, name).fingerprint
    return tuning.checkpoint_key(study, name)
