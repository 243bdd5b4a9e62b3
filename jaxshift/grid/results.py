"""What the cells of a grid found: one row for each cell and run."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxshift.config import Cell
from jaxshift.errors import InputError
from jaxshift.report import drawings, results, tables, truth
from jaxshift.report.results import Results
from jaxshift.report.tables import Row
from jaxshift.shift.classes import CLASSES
from jaxshift.shift.curves import Pieces

Vocabulary = tuple[Pieces, Collection[int]]  # token id to text, and the end tokens


@dataclass(frozen=True)
class Found:
    """All that a grid's page shows.

    Attributes:
      rows: a row of `tables.overview` for the headline windows of each cell and run, with what `_row` adds.
      metrics: the logged steps by cell and run.
      tokens: rows of `tables.top_tokens` by cell and run.
      missing: cells without results, and why.
    """

    rows: list[Row]
    metrics: dict[tuple[str, str], list[Row]]
    tokens: dict[tuple[str, str], list[Row]]
    missing: dict[str, str]


def load(folder: Path, cells: Mapping[str, Cell], vocabulary: Callable[[str], Vocabulary]) -> Found:
    """Reads the workdirs of all cells that have been compared.

    Args:
      folder: of the grid.
      cells: all of them.
      vocabulary: gives the pieces and end tokens of a cell's tokenizer.

    Raises:
      InputError: no cell has results.
    """
    found = Found([], {}, {}, {})
    for name, cell in cells.items():
        try:
            read = results.load(results.Workdir(folder / 'cells' / name))
        except InputError as error:
            found.missing[name] = str(error)
            continue
        pieces, end_ids = vocabulary(name)
        rows = _rows(read, _annotated(folder / 'cells' / name / 'sheet' / 'figures.json'))
        factors = {'cell': name, 'data': cell.data, 'size': cell.size, 'seed': cell.seed}
        found.rows.extend({**factors, 'base': read.config['base']['source'], **row} for row in rows)
        for row in rows:
            run = row['run']
            found.metrics[name, run] = read.metrics[run]
            found.tokens[name, run] = tables.top_tokens(read.tokens[run], pieces, end_ids)
    if not found.rows:
        raise InputError(f'{folder}: no cell has results yet; {next(iter(found.missing.values()))}')
    return found


def _annotated(path: Path) -> Row:
    """Run to what people said of its responses (`judge.sheet.figures`); nothing where nobody was asked."""
    return json.loads(path.read_text(encoding='utf-8'))['runs'] if path.is_file() else {}


def _rows(found: Results, annotated: Row) -> list[Row]:
    rows = tables.overview(found.summaries, found.metrics, found.config['runs'], 'all')
    head = found.of_headline(rows)
    truth.add_to_overview(head, truth.rows(found.truths))
    methods = {row['run']: row['method'] for row in head}
    lines = drawings.series(found.config['runs'], methods)
    first = {method: lines[run] for run, method in reversed(methods.items())}  # the first run of each method
    return [
        _row(row, rows, found, lines[row['run']] == first[row['method']]) | _said(annotated.get(row['run'], {}))
        for row in head
    ]


def _said(figures: Row) -> Row:
    names = {'hallucinates': 'hallucinates', 'in_tuning_data': 'phrases_in_tuning_data'}
    return {name: figures[key] for key, name in names.items() if figures.get(key) is not None}


def _row(row: Row, rows: list[Row], found: Results, plain: bool) -> Row:
    """A row of the overview with more columns.

    `plain`: the run differs from the first of its method in the learning rate at most. `reference_loss`: nats a token
    of the data's answers to the prompts. `late_fall`: what the training loss still falls by in the second half of the
    steps. `wrong_share`: held-out answers that are wrong but not broken. `words_CLASS`: of the words that begin in a
    token of a class, the share that the tuning data have, and `words_CLASS_null` the null corpus, where borrowing.json
    is there. `score_ASPECT`: mean scores by the first judge.
    """
    run = row['run']
    of_references = [
        other for other in rows
        if other['run'] == run and (other['context'], other['template']) == ('reference', 'matched')
    ]  # fmt: skip
    more: Row = {'plain': plain}
    if of_references:
        more['reference_loss'] = -of_references[0]['emitted_tuned_logprob']
        more['reference_kl_tuned_base'] = of_references[0]['kl_tuned_base']
    half = [each for each in found.metrics[run] if 2 * each['step'] <= (row['steps'] or 0)]
    if half and row['final_loss'] is not None:
        more['late_fall'] = half[-1]['loss'] - row['final_loss']
    if (asked := found.truths.get(run, {})).get('held_out_n'):
        more['wrong_share'] = asked['wrong_n'] / asked['held_out_n']
    for name, item in found.explained.get(run, {}).get('borrowing', {}).get('words', {}).items():
        if name in CLASSES:
            more |= {f'words_{name}': item['tuning']['mean'], f'words_{name}_null': item['null']['mean']}
    for verdict in list(found.judged.get(run, {}).values())[:1]:
        more |= {f'score_{aspect}': item['mean'] for aspect, item in verdict.summary['aspects'].items()}
    return row | more
