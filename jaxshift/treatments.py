"""Treatments of the instruction data: which examples, with which answers, the runs that name one are trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxshift.config import Treatment
from jaxshift.data import mixture, simplify
from jaxshift.data.formats import Example
from jaxshift.data.mixture import Mixture
from jaxshift.data.sources import fingerprints
from jaxshift.errors import InputError
from jaxshift.judge import simplifying
from jaxshift.store import jsonl
from jaxshift.study import Study, file_hash

Choose = Callable[[Sequence[Example]], Sequence[bool]]


def named(study: Study, treatment: str) -> Treatment:
    """What the config says of a treatment."""
    return study.experiment.treatments[treatment]


def sources(study: Study, treatment: str) -> dict[str, float]:
    """Where the records lie, and how many times each source is taken."""
    source = named(study, treatment).source if treatment else ''
    if not source:
        return study.data_sources
    return {study.located(f'treatments.{treatment}', source, 'instructions.json'): 1.0}


def records_hash(study: Study, treatment: str) -> str:
    """SHA-256 of the records; those of the data themselves are read for it once."""
    own = treatment and named(study, treatment).source
    return fingerprints(sources(study, treatment)) if own else study.data_hash


def asked(study: Study, treatment: str) -> dict[str, Any]:
    """Settings of a treatment; none of the data as they are."""
    if not treatment:
        return {}
    found: dict[str, Any] = {'treatment': dataclasses.asdict(named(study, treatment))}
    if asks_endpoint(named(study, treatment)):
        keys = ('model', 'temperature', 'max_tokens')
        found['endpoint'] = {key: getattr(study.experiment.judge, key) for key in keys}
        found['endpoint']['words'] = simplifying.words_hash()
    return found


def scored_by(study: Study, treatment: str) -> dict[str, str]:
    """The hash of the file that a treatment takes scores from, where there is one."""
    path = score_file(study, treatment) if treatment else None
    if path and not path.is_file() and named(study, treatment).score == 'world:':
        raise InputError(
            f'{path}: no such file; the world was made before it had scores: remove {study.workdir.done("world", "")} '
            'to make it again, or give another --workdir'
        )
    return {'scores': file_hash(path)} if path else {}


def asks_endpoint(treatment: Treatment) -> bool:
    return treatment.score == 'judge:' or treatment.simplify == 'endpoint'


def score_file(study: Study, treatment: str) -> Path | None:
    """The file that scores come from; None where they come from elsewhere."""
    kind, _, rest = named(study, treatment).score.partition(':')
    return {'file': Path(rest).expanduser(), 'world': study.workdir.data / 'world' / 'scores.jsonl'}.get(kind)


def read(study: Study, treatment: str, subset: int, choose: Choose | None) -> Mixture:
    """The records of a treatment as they are; `choose` and `subset` as in `mixture.read`."""
    data = study.experiment.data
    # Names of formats and columns are those of data's own records.
    format, columns = ('auto', ()) if named(study, treatment).source else (data.format, data.columns)
    return mixture.read(
        sources(study, treatment), format, columns, data.on_bad_record, data.limit, subset, data.subset_seed,
        data.held_out, choose,
    )  # fmt: skip


def kept(study: Study, treatment: str) -> Path:
    """The file of what a treatment has made of the data: an object an example, with its score and its new answers."""
    return study.workdir.treated(treatment) / 'treated.jsonl'


def instructions(study: Study, treatment: str) -> Mixture:
    """What the runs of a treatment are trained on, as the data stage has made it; what is held out is untreated.

    Raises:
      InputError: the data stage has not made it.
    """
    if not treatment:
        return study.instructions()
    path = kept(study, treatment)
    if not path.is_file():
        raise InputError(f'{path}: no such file; it is made here: run --mode=data first')
    rows = {row['example_id']: row for row in jsonl.read(path)}
    found = read(study, treatment, 0, lambda examples: [example.id in rows for example in examples])
    return found._replace(examples=[_answered(each, rows[each.id]['answers']) for each in found.examples])


def _answered(example: Example, answers: list[str] | None) -> Example:
    if answers is None:
        return example
    given = iter(answers)
    return simplify.answers(example, lambda asked, answer: next(given))
