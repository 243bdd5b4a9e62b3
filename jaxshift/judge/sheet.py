"""A sheet for people: responses of all runs in mixed order, to be marked where they say what is not so.

As in the human study of Ghosh et al. (arXiv 2402.05119, Figure 6) an annotator says of each response whether it
hallucinates, and copies the phrases that do. Which run wrote a response stands in a file of its own, not in the sheet.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from jaxshift.errors import InputError
from jaxshift.judge import agreement
from jaxshift.shift import intervals
from jaxshift.store import paths

COLUMNS = ('id', 'prompt', 'response', 'hallucinates', 'phrases')
KEY = ('id', 'run', 'example_id')
SEPARATOR = '|'  # between phrases
_DIGITS = 4  # of an id, at least
_SAID = {'yes': True, 'no': False, '': None}


@dataclass(frozen=True)
class Row:
    """One response of a sheet: `id` is all that an annotator sees of `run` and `example_id`."""

    id: str
    run: str
    example_id: str
    prompt: str
    response: str


@dataclass(frozen=True)
class Mark:
    """What an annotator said of a response: `hallucinates` is None where nothing was said."""

    hallucinates: bool | None
    phrases: tuple[str, ...]


def draw(responses: Mapping[str, Sequence[Mapping[str, Any]]], count: int, seed: int) -> list[Row]:
    """Responses of every run to `count` of the prompts that all of them answered, in mixed order.

    Args:
      responses: run to the objects of its responses.jsonl.
      count: of prompts; all where there are fewer.
      seed: of the draw.
    """
    by_id = {run: {row['example_id']: row for row in rows} for run, rows in responses.items()}
    shared = sorted(set.intersection(*(set(rows) for rows in by_id.values())))
    rng = np.random.default_rng(seed)
    chosen = [shared[place] for place in rng.permutation(len(shared))[:count]]
    rows = [(run, by_id[run][name]) for name in chosen for run in by_id]
    mixed = [rows[place] for place in rng.permutation(len(rows))]
    return [
        Row(f'{number:0{_DIGITS}}', run, row['example_id'], row['prompt'], row['response'])
        for number, (run, row) in enumerate(mixed, start=1)
    ]


def write(rows: Sequence[Row], path: Path) -> None:
    """Writes an empty sheet."""
    _write(path, COLUMNS, [(row.id, row.prompt, row.response, '', '') for row in rows])


def write_key(rows: Sequence[Row], path: Path) -> None:
    """Writes which run wrote which response."""
    _write(path, KEY, [(row.id, row.run, row.example_id) for row in rows])


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows([head, *rows])
    paths.write_text(path, text.getvalue())


def read(path: Path, rows: Sequence[Row]) -> list[Mark]:
    """What an annotator said, in the order of `rows`.

    Raises:
      InputError: the file is no CSV in UTF-8, a response is missing, unknown, another than it was or there twice, or
        what was said cannot be; names the response.
    """
    known = {row.id: row for row in rows}
    found: dict[str, Mark] = {}
    for line in _lines(path):
        # Spreadsheets take the zeros away.
        where, row = f'{path}: response {line["id"]}', known.get((line['id'] or '').zfill(_DIGITS))
        if row is None or row.id in found:
            raise InputError(f'{where} is {"unknown" if row is None else "there twice"}; keep each id once')
        if None in line:
            raise InputError(f'{where} has more cells than the header; quote a cell that holds a comma')
        if any(_words(line[name]) != _words(getattr(row, name)) for name in ('prompt', 'response')):
            raise InputError(
                f'{where} is not what is drawn now: responses, seed, runs or sheet.prompts have changed; '
                'move the sheets away for new ones, or ask as they were drawn'
            )
        said = (line['hallucinates'] or '').strip().lower()
        if said not in _SAID:
            raise InputError(f'{where}: hallucinates is {said!r}; write yes or no, or leave it empty')
        phrases = tuple(each.strip() for each in (line['phrases'] or '').split(SEPARATOR) if each.strip())
        if phrases and said != 'yes':
            raise InputError(f'{where} has phrases, but hallucinates is {said or "empty"!r}; write yes, or none')
        if lost := [each for each in phrases if each not in row.response]:
            raise InputError(f'{where}: {lost[0]!r} does not stand in the response; copy phrases as they are')
        found[row.id] = Mark(_SAID[said], phrases)
    if lacking := [row.id for row in rows if row.id not in found]:
        raise InputError(f'{path}: response {lacking[0]} is missing; leave its columns empty, but keep the line')
    return [found[row.id] for row in rows]


def _lines(path: Path) -> list[dict[Any, Any]]:
    """The lines of a sheet by column; cells beyond the header's stand under None, and None in cells that lack."""
    try:
        text = path.read_bytes().decode('utf-8-sig')  # spreadsheets put a mark before the first column
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: byte {error.start} is not UTF-8; save the sheet as CSV in UTF-8') from None
    reader = csv.DictReader(io.StringIO(text, newline=''))
    try:
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise InputError(f'{path}: no column {missing[0]}; keep {", ".join(COLUMNS)}, in UTF-8 with commas')
        return list(reader)
    except csv.Error as error:
        raise InputError(f'{path}: line {reader.line_num}: not CSV ({error}); correct the line') from None


def _words(text: str | None) -> list[str]:
    """Spreadsheets may change line ends and spaces, but no word."""
    return (text or '').split()


def figures(
    rows: Sequence[Row], marks: Mapping[str, Sequence[Mark]], tuning: Sequence[str], bootstrap: int, seed: int
) -> dict[str, Any]:
    """What the annotators said together.

    Args:
      rows: of the sheet.
      marks: annotator to what `read` gives.
      tuning: answers of the instruction data.
      bootstrap, seed: resamples of the prompts, and where they begin.

    Returns:
      `runs`: for each run `marked` (responses that somebody judged, each annotator's counted), `hallucinates` (share of
      these), `phrases` and `in_tuning_data`, the share of them that stands verbatim in an answer of the tuning data;
      a share of nothing is None; NAME_interval is that of a share, over prompts. `agreement`: Cohen's kappa of each two
      annotators on whether a response hallucinates, and Krippendorff's alpha of all, on responses and on the words of
      those that two or more judged.
    """
    told = '\n'.join(tuning)
    runs = {}
    for run in dict.fromkeys(row.run for row in rows):
        here = [(row, mark) for said in marks.values() for row, mark in zip(rows, said, strict=True) if row.run == run]
        judged = [(row, mark.hallucinates) for row, mark in here if mark.hallucinates is not None]
        phrases = [(row, phrase in told) for row, mark in here for phrase in mark.phrases]
        runs[run] = {
            'marked': len(judged), **_share('hallucinates', judged, bootstrap, seed),
            'phrases': len(phrases), **_share('in_tuning_data', phrases, bootstrap, seed),
        }  # fmt: skip
    labels = {
        name: np.array([np.nan if mark.hallucinates is None else mark.hallucinates for mark in said], np.float64)
        for name, said in marks.items()
    }
    kappas = []
    for one, other in combinations(labels, 2):
        both = ~np.isnan(labels[one]) & ~np.isnan(labels[other])
        value = agreement.kappa(labels[one][both], labels[other][both]) if both.any() else None
        kappas.append({'one': one, 'other': other, 'responses': int(both.sum()), 'kappa': value})
    words = np.stack([
        np.concatenate([_marked(row.response, mark) for row, mark in zip(rows, said, strict=True)])
        for said in marks.values()
    ])  # fmt: skip
    return {
        'runs': runs,
        'agreement': {
            'cohen_kappa': kappas,
            'krippendorff_alpha': {
                'responses': agreement.alpha(np.stack(list(labels.values()))),
                'words': agreement.alpha(words),
            },
        },
    }


def _share(name: str, cases: Sequence[tuple[Row, bool]], bootstrap: int, seed: int) -> dict[str, Any]:
    """The share of the cases that are so; those of one prompt depend on each other."""
    if not cases:
        return {name: None, f'{name}_interval': None}
    ids, prompt = np.unique([row.example_id for row, _ in cases], return_inverse=True)
    so = np.array([each for _, each in cases], np.float64)
    sums, counts = (np.bincount(prompt, each, len(ids))[:, None] for each in (so, np.ones(len(so))))
    low, high = (float(bound[0]) for bound in intervals.ratio_intervals(sums, counts, bootstrap, seed))
    if so.min() == so.max():
        low, high = intervals.wilson(so[0], len(ids))  # no resample differs
    return {name: float(so.mean()), f'{name}_interval': None if np.isnan(low) else [low, high]}


def _marked(response: str, mark: Mark) -> np.ndarray:
    """For each word of a response whether a phrase of the mark touches it; NaN where it was not judged."""
    words = list(re.finditer(r'\S+', response))
    if mark.hallucinates is None:
        return np.full(len(words), np.nan)
    spans = [each.span() for phrase in mark.phrases for each in re.finditer(re.escape(phrase), response)]
    return np.array([any(a < word.end() and word.start() < b for a, b in spans) for word in words], np.float64)
