"""The examples of an experiment: its sources, each taken as often as its weight says, and a subset of them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from jaxshift.data import formats, sources
from jaxshift.data.formats import Example, Refusal
from jaxshift.data.shapes import FIELDS
from jaxshift.data.sources import Record
from jaxshift.errors import InputError

Figures = dict[str, str | int | float]
Taken = tuple[str, Example]  # with its source


class Mixture(NamedTuple):
    """Examples to train on, those held out, the records that were left out, and for each source its format and counts.

    The figures of a source are `format`, `weight`, `records` (read), `refused` (of them), `examples` (taken, held out
    or not) and `unread`: keys of its records that no format has, with commas between.
    """

    examples: list[Example]
    held_out: list[Example]
    refused: list[Refusal]
    sources: dict[str, Figures]

    @property
    def once(self) -> list[Example]:
        """Every record once, held out or not, however often its source is taken."""
        found: dict[str, Example] = {}
        for example in (*self.examples, *self.held_out):
            found.setdefault(example.where, example)
        return list(found.values())


def read(
    weights: Mapping[str, float],
    format: str = 'auto',
    columns: Sequence[str] = (),
    on_bad: str = 'error',
    limit: int = 0,
    subset: int = 0,
    seed: int = 0,
    held_out: int = 0,
    choose: Callable[[Sequence[Example]], Sequence[bool]] | None = None,
) -> Mixture:
    """Reads sources in order.

    Where there are several files, the ids of each begin with the end of its path that tells it from the others; ids
    of the second and later copies of a record end with '#2' and so on.

    Args:
      weights: source to how many times its records are taken; of a fraction which ones is drawn by `seed`.
      format: of all of them, or auto: told for each.
      columns: texts 'field=column'.
      on_bad: error, or skip: bad records are left out and listed.
      limit: read the first so many records of each source; 0: all.
      subset: keep so many examples, drawn by `seed`; a larger subset holds every smaller one. 0: all.
      seed: of both draws.
      held_out: set so many examples apart, drawn before the subset and by no seed: with any subset they are the same.
      choose: says which of the others may be trained on; the subset is drawn from these.

    Raises:
      InputError: a source cannot be read or holds no usable record, or none is taken of it; a column is in no record;
        or there are not as many examples as are asked for.
    """
    names = formats.column_map(columns)
    records = {source: list(islice(sources.read(source), limit or None)) for source in weights}
    _check_columns(names, [record.value for found in records.values() for record in found])
    files = [file for found in records.values() for file in dict.fromkeys(record.file for record in found)]
    labels = _labels(files)
    kept: list[Taken] = []
    refused: list[Refusal] = []
    figures: dict[str, Figures] = {}
    for number, (source, weight) in enumerate(weights.items()):
        found = formats.parse(source.removeprefix('file:'), records[source], format, names, on_bad, labels)
        taken = _weighed(found.examples, weight, (seed, 1 + number))
        if not taken:
            raise InputError(f'{source}: its weight {weight} takes none of {len(found.examples)} records; raise it')
        kept += [(source, example) for example in taken]
        refused += found.refused
        counts = {'records': len(records[source]), 'refused': len(found.refused)}
        unread = _unread(records[source], names)
        figures[source] = {'format': found.format, 'weight': weight, **counts, 'unread': unread}
    kept, apart = _set_apart(kept, held_out)
    if choose:
        chosen = choose([example for _, example in kept])
        kept = [each for each, wanted in zip(kept, chosen, strict=True) if wanted]
    if subset > len(kept):
        raise InputError(f'config.data.subset is {subset}; there are {len(kept)} usable records; lower it')
    if subset:
        kept = [kept[index] for index in _drawn(len(kept), subset, (seed, 0))]
    sizes = Counter(source for source, _ in (*kept, *apart))
    figures = {source: {**counts, 'examples': sizes[source]} for source, counts in figures.items()}
    return Mixture([example for _, example in kept], [example for _, example in apart], refused, figures)


def _set_apart(examples: list[Taken], held_out: int) -> tuple[list[Taken], list[Taken]]:
    """What is trained on and what is held out, in order; more held out takes none back."""
    if held_out >= len(examples):
        raise InputError(f'config.data.held_out is {held_out} of {len(examples)} examples; none is left to train on')
    chosen = set(_drawn(len(examples), held_out, (0, 0, 1)))
    parts: tuple[list[Taken], list[Taken]] = [], []
    for index, example in enumerate(examples):
        parts[index in chosen].append(example)
    return parts


def _unread(records: Sequence[Record], names: Mapping[str, str]) -> str:
    keys = {str(key): None for record in records if isinstance(record.value, dict) for key in record.value}
    return ', '.join(key for key in keys if key not in FIELDS and key not in names.values())


def _weighed(examples: list[Example], weight: float, seed: tuple[int, int]) -> list[Example]:
    copies, rest = divmod(round(weight * len(examples)), len(examples))
    taken = [_copy(example, number) for number in range(copies) for example in examples]
    return taken + [_copy(examples[index], copies) for index in _drawn(len(examples), rest, seed)]


def _copy(example: Example, number: int) -> Example:
    return replace(example, id=f'{example.id}#{number + 1}') if number else example


def _drawn(count: int, size: int, seed: tuple[int, ...]) -> list[int]:
    """The first `size` of a permutation, in order: so every draw holds the smaller ones."""
    return sorted(np.random.default_rng(seed).permutation(count)[:size].tolist())


def _labels(files: Sequence[str]) -> dict[str, str]:
    """File to the shortest end of its path that no other has; nothing for a single file."""
    paths = {file: PurePath(file).parts for file in files}
    for parts, count in Counter(PurePath(file).parts for file in files).items():
        if count > 1:
            raise InputError(f'{PurePath(*parts)} is in {count} sources of data.mixture; name it once, with a weight')
    if len(paths) < 2:
        return {}
    depth = 1
    while len({parts[-depth:] for parts in paths.values()}) < len(paths):
        depth += 1
    return {file: '/'.join(parts[-depth:]) for file, parts in paths.items()}


def _check_columns(names: Mapping[str, str], values: Sequence[object]) -> None:
    keys = {str(key): None for value in values if isinstance(value, dict) for key in value}
    for field, column in names.items():
        if column not in keys:
            raise InputError(f'columns has {field}={column}, but no record has {column!r}; they have {", ".join(keys)}')
