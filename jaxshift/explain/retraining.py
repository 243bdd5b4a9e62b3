"""The proof of borrowing: a run trained again without the rows that its spans came from, and without others."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from jaxshift import depends, tuning
from jaxshift.causes.search import Search
from jaxshift.causes.suffixes import Suffixes
from jaxshift.data.batches import bucket
from jaxshift.depends import Settings
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process
from jaxshift.explain import borrowing, corpora
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.explain.origins import rows_of
from jaxshift.shift.contexts import Case
from jaxshift.shift.sweep import Pair, compare, laid_out
from jaxshift.study import Study

MOST = 0.1  # share of the rows that is left out at most
FOLDER = 'retraining'  # in causes/, while it goes on
NAME = 'borrowing.retrained'  # begins like the files of borrowing, with which it is cleared


def _applies(study: Study) -> bool:
    given = [name for name in study.only if name in study.given]
    reason = f'run {given[0]} was tuned elsewhere, leave it out by --only' if given else borrowing.lacking(study)
    if reason:
        study.say(f'retrain: passed over; {reason}')
    return not reason


def _settings(study: Study, run: str) -> Settings:
    return borrowing.settings(study, run) | {'training': depends.of_training(study, study.experiment.runs[run])}


def _work(study: Study, run: str) -> list[Path]:
    answers, found = borrowing.read_answers(study, run), corpora.read(study)
    search, whole = borrowing.looked_up(study, answers, found)
    return keep(study, run, NAME, retrained(study, run, search, whole, answers.logprobs))


def retrained(study: Study, run: str, search: Search, whole: Suffixes, as_trained: np.ndarray) -> dict[str, Any]:
    """What the tokens of suspected spans lose, in nats, when the run never sees the rows that hold them.

    The rows left out are those of the first phrases that together are in `MOST` of all rows; the control leaves out as
    many others, drawn at random, so that whatever training on fewer rows does is in both.

    Args:
      study: the experiment.
      run: its name.
      search: the responses.
      whole: index of all tuning data.
      as_trained: [P], log-probabilities of all emitted tokens under the run as it is.

    Returns:
      rows, those left_out, phrases, and means over the n tokens of their spans, with intervals. Where no phrase is in
      so few rows n is 0, and nothing is trained.
    """
    suspected, proved = suspects(search, whole)
    counts = {'rows': whole.rows, 'left_out': len(suspected), 'phrases': len(proved)}
    if not suspected:
        return counts | {'n': 0}
    others = sorted(set(range(whole.rows)) - suspected)
    control = np.random.default_rng(study.experiment.seed).choice(others, len(suspected), replace=False).tolist()
    inside = search.places([span for span in search.spans[0] if search.phrase(span) in proved])
    models = tuple(_trained(study, run, each) for each in (sorted(suspected), sorted(control)))
    without, random = logprobs(study, models, search, inside)
    folder = study.workdir.causes(run) / FOLDER
    process.by_leader('retraining', lambda: shutil.rmtree(folder, ignore_errors=True))
    values = {
        'as_trained': as_trained[inside],
        'without_suspected': without,
        'without_random': random,
        'change_suspected': without - as_trained[inside],
        'change_random': random - as_trained[inside],
        'difference': without - random,
    }
    return counts | search.draws.compare(search.response[inside], values)


def suspects(search: Search, whole: Suffixes) -> tuple[set[int], set[tuple[int, ...]]]:
    """Rows to leave out, at most `MOST` of all, and the phrases all of whose rows are among them."""
    rows: set[int] = set()
    proved: set[tuple[int, ...]] = set()
    for span in search.suspected:
        phrase = search.phrase(span)
        held = rows | set(rows_of(whole, phrase).tolist())
        if len(held) <= MOST * whole.rows:
            rows, proved = held, proved | {phrase}
    return rows, proved


def _trained(study: Study, run: str, left_out: list[int]) -> dict:
    told = json.dumps([depends.of_training(study, study.experiment.runs[run]), left_out], sort_keys=True)
    # What a stopped start left behind is gone on with, where it is of these settings.
    folder = study.workdir.causes(run) / FOLDER / hashlib.sha256(told.encode()).hexdigest()[:16]
    return tuning.tuned_without(study, run, left_out, folder)


def logprobs(study: Study, models: tuple[dict, ...], search: Search, inside: np.ndarray) -> list[np.ndarray]:
    """Log-probabilities of the chosen tokens of the responses under two models: two arrays [chosen]."""
    pair, mesh, asked = Pair(study.base.config, study.experiment.base.dtype, False), study.mesh, study.experiment.sweep
    parts, shards = mesh.shape['sequence'], meshes.row_shards(mesh)
    size = asked.batch_size + -asked.batch_size % shards
    found = np.zeros((2, len(search.tokens)))
    starts = np.cumsum([0, *map(len, search.texts)])
    wanted = np.unique(search.response[inside]).tolist()
    wanted.sort(key=lambda number: len(search.texts[number]))
    for start in range(0, len(wanted), size):
        batch = wanted[start : start + size]
        cases = [
            Case('', prompt := search.prompts[number].tolist(), prompt, search.texts[number].tolist())
            for number in batch
        ]
        length = bucket(max(len(case.response) for case in cases))
        emitted = np.zeros((size, length + -length % parts), np.int32)
        for row, case in enumerate(cases):
            emitted[row, : len(case.response)] = case.response
        prompts = [case.prompt for case in cases]
        tokens, windows = laid_out(cases, prompts, emitted.shape, study.base.config.context, parts)
        rows = meshes.put_rows(mesh, {'tokens': tokens, 'windows': windows, 'emitted': emitted})
        measured = meshes.host(compare(pair, models, **rows, chunk=asked.chunk, top_k=1))
        for row, number in enumerate(batch):
            own = slice(starts[number], starts[number + 1])
            room = own.stop - own.start
            found[0, own] = measured.emitted_base_logprob[row, :room]
            found[1, own] = measured.emitted_tuned_logprob[row, :room]
    return [each[inside] for each in found]


ANALYSIS = Analysis(_applies, _settings, _work, computes=True)
