"""What a model of any parameters does: how far it is from the base on fixed windows, and what it answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from jaxshift import depends
from jaxshift.causes import truth
from jaxshift.depends import Settings
from jaxshift.explain.truth import facts_path
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.shift import contexts, summary
from jaxshift.shift.contexts import Case, Comparison
from jaxshift.shift.sweep import Pair, measure
from jaxshift.study import Study, file_hash


def windows(study: Study, run: str, limit: int) -> list[Case]:
    """The responses of a run behind its whole prompts, the first `limit` of them (0: all)."""
    path = study.workdir.responses(run)
    rows = responses.read(path)
    responses.check_tokens(rows, path, study.base.config)
    return contexts.cases(rows, None, study.base.config.context)[0][: limit or None]


def shift(study: Study, run: str, params: dict, cases: Sequence[Case]) -> dict[str, Any]:
    """The figures of summary.json, 'all' and 'without_end', of a model against the base.

    Args:
      params: of the model; they go through a forward pass of their own.
      cases: responses whose windows both models read.
    """
    asked = dataclasses.replace(study.experiment.sweep, top_k=1, compat='')
    pair = Pair(study.base.config, study.experiment.base.dtype, paired=False)
    windows = Comparison('own', 'matched', -1, list(cases))
    ordered = sorted(cases, key=lambda case: (len(case.response), len(case.prompt)))
    tables = [
        measure(pair, (study.base_params, params), windows, ordered[at : at + asked.batch_size], run, asked, None,
                study.mesh)
        for at in range(0, len(ordered), asked.batch_size)
    ]  # fmt: skip
    (found,) = summary.summarise(
        pa.concat_tables(tables), study.pieces, study.template.stop_ids, study.experiment.seed, asked.bootstrap,
        samples=study.experiment.respond.samples,
    )  # fmt: skip
    return {which: found[which] for which in summary.POSITIONS}


def accuracy(study: Study, params: dict) -> dict[str, Any]:
    """What its greedy answers are worth in the controlled world (see `truth.of_responses`); elsewhere nothing."""
    if study.experiment.world is None:  # nobody knows
        return {}
    limits = study.experiment.respond
    decoder = Decoder(study.base.config, study.experiment.base.dtype, study.template.stop_ids, limits.max_new_tokens)
    prompts = study.prompts[:: limits.samples]  # a greedy answer is one answer
    size = min(limits.batch_size, len(prompts))
    rows = responses.decoded(decoder, params, prompts, study.tokenizer, size, limits.stop)
    return worth(study, list(chain.from_iterable(rows)))


def worth(study: Study, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same of answers, one a prompt, as objects of responses.jsonl."""
    if study.experiment.world is None:
        return {}
    facts = json.loads(facts_path(study).read_text(encoding='utf-8'))
    return {'answers': truth.of_responses(facts, rows, study.experiment.seed)}


def settings(study: Study, run: str) -> Settings:
    """What `shift` and `accuracy` depend on, beside the parameters."""
    sweep = study.experiment.sweep
    found = {
        'base': study.base.fingerprint,
        'reading': study.reading,
        'responses': file_hash(study.workdir.responses(run)),
        'classes': [sweep.marginal_above, sweep.shifted_above],
        'bootstrap': sweep.bootstrap,
        'seed': study.experiment.seed,
        **depends.of_samples(study),
    }
    return found | of_answers(study) if study.experiment.world else found


def of_answers(study: Study) -> Settings:
    """What decoded answers, and what they are worth, depend on beside the models."""
    limits = study.experiment.respond
    return {
        **depends.of_prompts(study),
        'max_new_tokens': limits.max_new_tokens,
        'stop': limits.stop,
        'facts': file_hash(facts_path(study)) if study.experiment.world else '',
    }
