"""runs/RUN/judge/NAME.json: what judge NAME says about a run, summed up from NAME.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxshift.data.formats import Example
from jaxshift.errors import InputError
from jaxshift.judge import judgement, scores
from jaxshift.judge.judgement import Judgement
from jaxshift.store import paths

Tags = dict[str, dict[str, tuple[str, ...]]]  # prompt to field to its values


class Verdict(NamedTuple):
    """What one judge says about one run: the object of NAME.json, and what NAME.jsonl holds."""

    summary: dict[str, Any]
    judgements: list[Judgement]


def write(
    folder: Path,
    judge: str,
    responses: Iterable[Mapping[str, Any]],
    tags: Tags,
    samples: int,
    bootstrap: int,
    seed: int,
) -> Path:
    """Sums up NAME.jsonl of a run's folder `judge` (see `scores.summary`) and returns the file.

    Args:
      folder: runs/RUN/judge.
      judge: NAME.
      responses: objects of the run's responses.jsonl.
      tags: what makes groups of the prompts: `tags_of` their records, or `oracle.tags` of the controlled world.
      samples, bootstrap, seed: as in `scores.summary`.

    Raises:
      InputError: a line is no judgement, is of no response, or the second of one.
    """
    path = folder / f'{judge}.jsonl'
    names = [row['example_id'] for row in responses]
    try:
        found = scores.summary(judgement.read(path), names, tags, samples, bootstrap, seed)
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f'{path}: {error}') from None
    paths.write_json(folder / f'{judge}.json', {'judge': judge} | found)
    return folder / f'{judge}.json'


def read(folder: Path) -> dict[str, Verdict]:
    """What a run's folder `judge` holds, by judge; nothing where there is no such folder.

    Raises:
      InputError: a file is no JSON, or the judgements that it sums up are not there or broken.
    """
    found = {}
    for path in sorted(folder.glob('*.json')):
        item = _json(path)
        if isinstance(item, dict) and 'aspects' in item:
            lines = path.with_suffix('.jsonl')
            if not lines.is_file():
                raise InputError(f'{lines}: no such file, but {path.name} sums it up; run --mode=judge again')
            found[path.stem] = Verdict(item, judgement.read(lines))
    return found


def read_pairs(folder: Path) -> list[dict[str, Any]]:
    """The objects of NAME.pairs.json in a run's folder `judge`: `preferences.figures`, with `judge` and `other`.

    Raises:
      InputError: a file is no JSON.
    """
    return [_json(path) for path in sorted(folder.glob('*.pairs.json'))]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise InputError(f'{path}: cannot be read ({error}); run --mode=judge again') from error


def tags_of(examples: Iterable[Example]) -> Tags:
    """The fields of the prompts' records that sort them into groups, such as task, topic, category or dataset.

    A field has at least two values, and not more than one for every two prompts. just-eval's `source_id` is taken
    without the number that makes it an id.
    """
    held = {each.id: {key: _plain(key, values) for key, values in each.tags.items()} for each in examples}
    distinct: dict[str, set[str]] = {}
    for fields in held.values():
        for key, values in fields.items():
            distinct.setdefault(key, set()).update(values)
    kept = {key for key, values in distinct.items() if 1 < len(values) <= len(held) / 2}
    return {name: {key: values for key, values in fields.items() if key in kept} for name, fields in held.items()}


def _plain(key: str, values: Sequence[str]) -> tuple[str, ...]:
    if key != 'source_id':
        return tuple(values)
    parts = [each.rpartition('-') for each in values]
    return tuple(source if source and number.isdecimal() else source + dash + number for source, dash, number in parts)
