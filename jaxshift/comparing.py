"""The sweep stage: base and tuned model at every window that the config asks for, their records and summaries."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from jaxshift import depends, tuning
from jaxshift.data import formats
from jaxshift.errors import InputError
from jaxshift.respond import responses
from jaxshift.shift import aligntds, contexts, records, summary, templates
from jaxshift.shift.contexts import Comparison
from jaxshift.shift.sweep import Pair, sweep
from jaxshift.study import Study
from jaxshift.terminal import Bar

Counts = dict[tuple[str, str], Counter[str]]  # of what was left out or cut, by context and template


def sweep_all(study: Study) -> None:
    """Compares base and tuned model of every run, and sums up."""
    for name in study.only:
        for source in {depends.response_source(study, name, each) for each in study.experiment.sweep.contexts}:
            # Another run's model may not be here; then its responses are taken as they are.
            if source in (*study.only, depends.BASE):
                depends.check_responses(study, source)
        _steps(study, name)
    for name in study.only:
        # Before the ledger clears the records of other settings: what is asked for now may be refused.
        found, counts = _comparisons(study, name)
        _sweep(study, name, found)
        _summary(study, name, counts)


def _sweep(study: Study, name: str, found: list[Comparison]) -> None:
    folder = study.workdir.run(name)

    def clear() -> None:
        (folder / 'summary.json').unlink(missing_ok=True)
        shutil.rmtree(folder / 'tokens', ignore_errors=True)

    work = partial(compare, study, name, found, folder / 'tokens')
    study.ledger.do('sweep', name, depends.of_records(study, name), work, clear, shared=True)


def compare(study: Study, name: str, found: list[Comparison], folder: Path, title: str = 'sweep') -> list[Path]:
    """Writes token records of base and run on these windows into a folder; see `sweep.sweep`. `title`: of the bar."""
    asked = study.experiment.sweep
    low_rank = tuning.is_paired(study, name)
    held: dict[tuple[bool, int | None], tuple[Pair, Any]] = {}

    def models(comparison: Comparison) -> tuple[Pair, Any]:
        # One forward pass of both models reads one prompt.
        key = paired, step = low_rank and comparison.template == 'matched', comparison.step
        if key not in held:
            held.clear()  # comparisons of one tree follow each other, and two may not fit
            params = tuning.tuned(study, name, paired, step)
            pair = Pair(study.base.config, study.experiment.base.dtype, paired)
            held[key] = pair, params if paired else (study.base_params, params)
        return held[key]

    texts = aligntds.text_ids(study.pieces) if asked.compat else None
    with Bar(f'{title} {name}') as bar:
        return sweep(models, found, name, asked, texts, study.mesh, folder, study.stop, bar)


def _comparisons(study: Study, name: str) -> tuple[list[Comparison], Counts]:
    """What is compared, in the order of summary.json, and what was left out or cut."""
    asked, limit = study.experiment.sweep, study.base.config.context
    bos, counts, found = study.tokenizer.bos_token_id, Counts(), []
    rows = {context: _rows(study, name, context) for context in asked.contexts}
    ids = {row['example_id'] for answered, _ in rows.values() for row in answered}
    for template in asked.templates:
        prompts = None if template == 'matched' else _base_prompts(study, template, ids)
        for context, (answered, left_out) in rows.items():
            cases, skipped = contexts.cases(answered, prompts, limit)
            counts[context, template] = left_out + skipped + _lacking(study, cases)
            if not cases:
                reasons = ', '.join(f'{key.replace("_", " ")}: {n}' for key, n in (left_out + skipped).items())
                raise InputError(
                    f'run {name}, context {context}, template {template}: no response is left to compare '
                    f'({reasons or "there is none"}); leave it out of config.sweep'
                )
            for length in asked.context_lengths:
                shorter = [contexts.shortened(case, length, bos) for case in cases]
                found.append(Comparison(context, template, length, shorter))
    return [dataclasses.replace(each, step=step) for step in _steps(study, name) for each in found], counts


def _lacking(study: Study, cases: list[contexts.Case]) -> Counter[str]:
    """What of the vocabulary, and of the windows, are tokens that the base lacks."""
    if not (added := study.base.config.vocab_size - study.own_rows):
        return Counter()
    emitted = sum(token >= study.own_rows for case in cases for token in case.response)
    return Counter({'tokens_that_the_base_lacks': added, 'positions_of_tokens_that_the_base_lacks': emitted})


def _steps(study: Study, name: str) -> list[int | None]:
    """The last checkpoint, named where there are others, and the others that the config asks for, all of them kept."""
    asked = study.experiment.sweep.steps
    if not asked or study.experiment.runs[name].method == 'given':
        return [None]
    kept = [depends.kept_checkpoint(study, name, step)[0] for step in (None, *asked)]
    return list(dict.fromkeys(int(folder.name) for folder in kept))


def _rows(study: Study, name: str, context: str) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The responses behind a context, as objects of a responses.jsonl, and what was left out."""
    source = depends.response_source(study, name, context)
    if source:
        path = study.workdir.responses(source)
        rows = responses.read(path)
        responses.check_tokens(rows, path, study.base.config)
        return rows, Counter()
    found, counts = contexts.references(study.examples, study.template, study.base.config.context)
    if not found and not counts['prompts_over_context']:
        raise InputError(
            f'{", ".join(study.prompt_sources)}: no prompt has an answer for context reference; give the records '
            'an output (messages: an assistant turn), or leave reference out of config.sweep.contexts'
        )
    return found, counts


def _base_prompts(study: Study, template: str, names: set[str]) -> dict[str, list[int]]:
    """What the base reads before each response, by example id, for those whose prompt the prompts file holds."""
    prompts = {name: responses.prompt_of(name, study.experiment.respond.samples) for name in names}
    asked, ids = set(prompts.values()), {}
    for example in study.examples:
        if example.id in asked:
            with formats.named(example):
                ids[example.id] = templates.prompt_ids(study.template, template, formats.prompts(example))
    return {name: ids[prompt] for name, prompt in prompts.items() if prompt in ids}


def _summary(study: Study, name: str, counts: Counts) -> None:
    path = study.workdir.run(name) / 'summary.json'

    def work() -> list[Path]:
        rows = records.read(path.parent / 'tokens')
        seed, resamples = study.experiment.seed, study.experiment.sweep.bootstrap
        extra, samples = _extra(study, name, counts), study.experiment.respond.samples
        study.say(f'summary {name}: {rows.num_rows:,} windows, {resamples:,} resamples of the prompts')
        objects = summary.summarise(rows, study.pieces, study.template.stop_ids, seed, resamples, extra, samples)
        objects = [item | ({'steps': item['step']} if 'step' in item else {}) for item in objects]
        summary.write(path, objects)
        study.say(f'{name}: {_headline(objects)}')
        return [path]

    study.ledger.do('summary', name, depends.of_summary(study, name), work, partial(path.unlink, missing_ok=True))


def _headline(objects: list[dict[str, Any]]) -> str:
    """The mean of the windows that the report would show of this run alone, named where they are not the plain ones."""
    windows = summary.headline([objects])
    head = summary.of_windows(objects, windows)[0]['all']
    line = f'mean KL(tuned || base) {head["kl_tuned_base"]["mean"]:.4f} nats over {head["positions"]} windows'
    return line if windows == summary.PLAIN else f'{line} ({summary.described(windows)})'


def _extra(study: Study, name: str, counts: Counts) -> dict[tuple[str, str], dict[str, Any]]:
    """What a reader of summary.json must know beside the measures, by context and template."""
    run, asked = study.experiment.runs[name], study.experiment.sweep
    trained = {'counts': {}} if run.method == 'given' else tuning.figures(study, run)
    classes = {'marginal_above': asked.marginal_above, 'shifted_above': asked.shifted_above}
    return {
        key: trained
        | {
            'run': name,
            'method': run.method,
            'classes': classes,
            'cut_responses': found['cut_responses'],
            'counts': {'empty_responses': 0, 'refused_prompts': study.refused_prompts}
            | {reason: count for reason, count in found.items() if reason != 'cut_responses'}
            | trained['counts'],
        }
        for key, found in counts.items()
    }
