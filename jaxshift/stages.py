"""The order of the stages, what each reads and writes, and what is already done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from jaxshift import (
    advising,
    closing,
    comparing,
    depends,
    evaluating,
    judging,
    making,
    opening,
    outward,
    sheets,
    showing,
    treating,
    tuning,
)
from jaxshift.data import dataset
from jaxshift.devices import process
from jaxshift.errors import InputError
from jaxshift.explain import pieces
from jaxshift.explain import stage as explain
from jaxshift.export import distance, files
from jaxshift.plan import capacity
from jaxshift.report import page
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.respond.sampling import Sampling
from jaxshift.store import ledger
from jaxshift.study import MADE_HERE, Study
from jaxshift.terminal import Bar


def data(study: Study) -> None:
    """Makes the controlled world, if there is one, and tokenises the instruction data."""
    experiment = study.experiment
    if experiment.world:
        study.ledger.do('world', '', depends.of_world(study), lambda: making.write_world(study), None)
    if not study.data_sources:
        return
    root, runs = study.workdir.root, study.experiment.runs
    trained = {path.stem.removeprefix('train-') for path in root.glob('done/train-*.json')}
    trained |= {path.parts[-3] for path in root.glob('runs/*/checkpoints/*')}
    for treatment in dict.fromkeys(['', *(runs[name].treatment for name in study.only)]):
        # Runs that began on this data could not go on with another.
        begun = {name for name in trained if name not in runs or runs[name].treatment == treatment}
        settings = depends.of_data(study, treatment)
        work = partial(_tokenise, study, treatment)
        study.ledger.do('data', treatment, settings, work, None if begun else lambda: None)


def _tokenise(study: Study, treatment: str) -> list[Path]:
    settings, found = study.experiment.data, treating.treat(study, treatment) if treatment else study.instructions()
    for source, figures in found.sources.items():
        unread = f'; not read: {figures["unread"]}' if figures['unread'] else ''
        study.say(f'{source}: {figures["examples"]} examples of format {figures["format"]}{unread}')
    path = study.workdir.treated(treatment)
    with Bar(f'tokenise data {treatment}'.rstrip(), brief=True) as bar:
        counts = dataset.build(
            path, bar.over(found.examples), study.template, settings.max_length, settings.on_bad_record, found.refused,
            found.sources, found.held_out,
        ).counts  # fmt: skip
    refused = sum(counts['refused'].values())
    study.say(
        f'{f"data {treatment}".rstrip()}: {counts["examples"]} rows by the {study.template.name} template, '
        f'{counts["tokens"]} tokens, {counts["trained_tokens"]} trained; {counts["cut"]} cut at '
        f'{settings.max_length} tokens, {refused} refused' + (f' (see {path / "refused.jsonl"})' if refused else '')
    )
    return [path for path in path.iterdir() if path.is_file()]


def respond(study: Study) -> None:
    """Answers the prompts with every tuned model; in the controlled world, or where it is compared on, the base too."""
    # Before the ledger clears old responses for new settings: these may be refused.
    study.check_prompts()
    models: dict[str, Callable[[], dict]] = {name: partial(tuning.tuned, study, name) for name in study.only}
    contexts = study.experiment.sweep.contexts
    if study.experiment.world or depends.BASE in [depends.response_source(study, '', each) for each in contexts]:
        models = {depends.BASE: lambda: study.base_params} | models
    for name, params in models.items():
        path = study.workdir.responses(name)
        if path.is_file() and not _answered_here(study, name):
            raise InputError(f'{path}: not written here; compare it with --mode=sweep, or remove it to answer anew')
        _answer(study, name, params)


def _answer(study: Study, name: str, params: Callable[[], dict]) -> None:
    path = study.workdir.responses(name)

    def work() -> list[Path]:
        dtype, limits = study.experiment.base.dtype, study.experiment.respond
        sampling: Sampling | None = Sampling(
            limits.repetition_penalty, limits.temperature, limits.top_k, limits.top_p, limits.seed
        )
        if limits.temperature == 0 and limits.repetition_penalty == 1:
            sampling = None
        decoder = Decoder(study.base.config, dtype, study.template.stop_ids, limits.max_new_tokens, sampling)
        with Bar(f'respond {name}') as bar:
            responses.respond(
                decoder, params(), study.prompts, study.tokenizer, path, limits.batch_size, study.stop, bar, limits.stop
            )
        return [path]

    def clear() -> None:
        for left in (path, path.with_name(path.name + '.partial')):
            left.unlink(missing_ok=True)

    study.ledger.do('respond', name, depends.of_responses(study, name), work, clear, shared=True)


def _answered_here(study: Study, name: str) -> bool:
    """False for responses that another tool has put there."""
    return ledger.read(study.workdir.done('respond', name)) is not None


def report(study: Study) -> None:
    """Writes the page, its figures and its tables from the files of the other stages."""
    for name in study.only:
        if (study.workdir.run(name) / 'summary.json').exists():  # else the page says that it was not compared
            study.ledger.finished('summary', name, depends.of_summary(study, name))
        if study.workdir.forgetting(name).exists():
            study.ledger.finished('evaluate', name, outward.of_evaluated(study, name))

    def work() -> list[Path]:
        study.say('report: tables, figures, page')
        page.write(study.workdir.root, study.pieces, study.template.stop_ids, pieces.reader(study.tokenizer))
        return [path for path in study.workdir.report.rglob('*') if path.is_file() and path != study.workdir.shown_data]

    def clear() -> None:
        for path in study.workdir.report.glob('*'):
            if path.is_dir():
                shutil.rmtree(path)
            elif path != study.workdir.shown_data:
                path.unlink()

    study.ledger.do('report', '', depends.of_report(study), work, clear)
    closing.tell(study)
    study.say(f'report: {study.workdir.report / "index.html"}')


def show_data(study: Study) -> None:
    """Shows the first examples, which the data stage tokenises before."""
    data(study)
    if process.leads():
        showing.show(study)


STAGES: dict[str, Callable[[Study], None]] = {
    'data': data,
    'train': tuning.train_all,
    'respond': respond,
    'sweep': comparing.sweep_all,
    'causes': explain.explain_all,
    'judge': judging.judge_all,
    'evaluate': evaluating.evaluate_all,
    'report': report,
}

ON_REQUEST: dict[str, Callable[[Study], None]] = {
    'export': files.export_all,
    'verify_export': distance.verify_all,
    'advise': advising.advise,
    'show_data': show_data,
    'sheet': sheets.sheets,
}  # by their own mode alone


NO_MESH = ('data', 'report', 'show_data', 'sheet')  # modes that compute nothing on the devices


def computes(study: Study, mode: str) -> bool:
    """Whether a mode needs the mesh: some analyses do, and of the judges only one that runs here."""
    some = {'causes': explain.computes, 'judge': lambda study: study.experiment.judge.kind == 'local'}
    return some[mode](study) if mode in some else mode not in NO_MESH


def check_mesh(study: Study, mode: str) -> None:
    """Refuses what does not fit the devices, where a mode needs them."""
    if computes(study, mode) and mode != 'judge':  # a judge is not the base: it may have other heads
        tuning.check_mesh(study, mode)


def run(study: Study, mode: str, left_out: Collection[str] = ()) -> None:
    """Every stage in order but those `left_out` (`run`), or one of them."""
    check_mesh(study, mode)
    if mode == 'judge' and not study.experiment.judge.kind:
        raise InputError('config.judge.kind is empty, so nobody judges; set it to endpoint, local, oracle or file')
    evaluating.check(study, mode)
    if mode != 'run' and mode in capacity.COMPUTING and computes(study, mode):
        opening.tell(study, mode)
    for name, stage in STAGES.items():
        if mode == 'run' and name == 'train':
            opening.tell(study, mode)  # the data stage has counted the tokens
            if study.experiment.base.source != MADE_HERE:
                # Before hours go into training; to a base that is made here the prompts are made to measure.
                study.check_prompts()
        if mode == name or (mode == 'run' and name not in left_out):
            stage(study)
            study.stop.check()
    if mode in ON_REQUEST:
        ON_REQUEST[mode](study)
        study.stop.check()
