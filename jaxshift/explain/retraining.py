"""The proof of borrowing: a run trained again without the rows that its spans came from, and without others."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
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
FOLDER = 'retraining'  # in causes/: checkpoints while it goes on, and what the models gave
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
    answers = borrowing.read_answers(study, run)
    found = corpora.read(study, study.experiment.runs[run].treatment, answers.prompts)
    search, whole = borrowing.looked_up(study, answers, found)
    return keep(study, run, NAME, retrained(study, run, search, whole, found.numbers, answers.logprobs))


def retrained(
    study: Study, run: str, search: Search, whole: Suffixes, numbers: Sequence[Sequence[int]], as_trained: np.ndarray
) -> dict[str, Any]:
    """What the tokens of suspected spans lose, in nats, when the run never sees the rows that hold them.

    The rows left out are those of the first phrases that together are in `MOST` of all rows; each of two controls
    leaves out as many others of like length, drawn at random, so that whatever training on fewer rows does is in all.
    What the controls differ by is what another draw, and another training, do to these tokens.

    Args:
      study: the experiment.
      run: its name.
      search: the responses.
      whole: index of all tuning data.
      numbers: of each of its rows all places in the data set.
      as_trained: [P], log-probabilities of all emitted tokens under the run as it is.

    Returns:
      rows, those left_out, phrases, and means over the n tokens of their spans, with intervals. Where no phrase is in
      so few rows n is 0, and nothing is trained.
    """
    suspected, proved = suspects(search, whole)
    counts = {'rows': whole.rows, 'left_out': len(suspected), 'phrases': len(proved)}
    if not suspected:
        return counts | {'n': 0}
    sizes, seed = np.bincount(whole.row), study.experiment.seed
    chosen = [sorted(suspected), *(alike(sizes, suspected, np.random.default_rng((seed, i))) for i in range(2))]
    inside = search.places([span for span in search.spans[0] if search.phrase(span) in proved])
    values = [
        _logprobs_without(study, run, search, sorted(place for row in rows for place in numbers[row]))[inside]
        for rows in chosen
    ]
    without, random, other = values
    controls, before = (random + other) / 2, as_trained[inside]
    measured = {
        'as_trained': before,
        'without_suspected': without,
        'without_random': controls,
        'change_suspected': without - before,
        'change_random': controls - before,
        'difference': without - controls,
        'between_controls': random - other,
    }
    return counts | search.draws.compare(search.response[inside], measured)


def alike(sizes: np.ndarray, rows: set[int], rng: np.random.Generator) -> list[int]:
    """As many other rows, in order: for each of `rows` one that is left of the nearest size, at random among these."""
    others = rng.permutation(sorted(set(range(len(sizes))) - rows))
    found = []
    for row in rng.permutation(sorted(rows)):
        nearest = int(np.argmin(np.abs(sizes[others] - sizes[row])))
        found.append(int(others[nearest]))
        others = np.delete(others, nearest)
    return sorted(found)


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


def _logprobs_without(study: Study, run: str, search: Search, left_out: list[int]) -> np.ndarray:
    """Log-probabilities [P] of all tokens of the responses under the run trained without some rows of the data set.

    They are kept, since training is dear: another number of resamples, or a stop, does not ask for it again.
    """
    said = [[each.tolist() for each in texts] for texts in (search.prompts, search.texts)]
    told = json.dumps([depends.of_training(study, study.experiment.runs[run]), left_out, said], sort_keys=True)
    key = hashlib.sha256(told.encode()).hexdigest()[:16]
    path = study.workdir.causes(run) / FOLDER / f'{key}.npy'
    if process.by_leader(path.name, path.is_file):
        return np.load(path, allow_pickle=False)
    # What a stopped start left behind is gone on with, where it is of these settings.
    found = logprobs(study, tuning.tuned_without(study, run, left_out, path.with_suffix('')), search)

    def kept() -> None:
        with path.with_suffix('.part').open('wb') as file:
            np.save(file, found)
        path.with_suffix('.part').replace(path)
        shutil.rmtree(path.with_suffix(''), ignore_errors=True)

    process.by_leader(path.name, kept)
    return found


def logprobs(study: Study, model: dict, search: Search) -> np.ndarray:
    """Log-probabilities [P] of all tokens of the responses under a model."""
    pair, mesh, asked = Pair(study.base.config, study.experiment.base.dtype, False), study.mesh, study.experiment.sweep
    parts, shards = mesh.shape['sequence'], meshes.row_shards(mesh)
    size = asked.batch_size + -asked.batch_size % shards
    found = np.zeros(len(search.tokens))
    starts = np.cumsum([0, *map(len, search.texts)])
    wanted = sorted(range(len(search.texts)), key=lambda number: len(search.texts[number]))
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
        measured = meshes.host(compare(pair, (study.base_params, model), **rows, chunk=asked.chunk, top_k=1))
        for row, number in enumerate(batch):
            found[starts[number] : starts[number + 1]] = measured.emitted_tuned_logprob[
                row, : len(search.texts[number])
            ]
    return found


ANALYSIS = Analysis(_applies, _settings, _work, computes=True, lacking=borrowing.lacking_of)
