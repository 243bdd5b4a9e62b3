"""What the cells of a grid found: one row for each cell and run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from jaxshift.cells import Cell
from jaxshift.config import Experiment, Run
from jaxshift.errors import InputError
from jaxshift.grid import comparisons
from jaxshift.report import drawings, results, tables, truth
from jaxshift.report.results import Results
from jaxshift.report.tables import Row
from jaxshift.shift import records
from jaxshift.shift.classes import CLASSES
from jaxshift.shift.curves import Pieces
from jaxshift.store import ledger

_NOT_OF_RESULTS = ('process', 'trackers', 'export', 'sheet')  # sections of a config that change no figure

Vocabulary = tuple[Pieces, Collection[int]]  # token id to text, and the end tokens


@dataclass(frozen=True)
class Found:
    """All that a grid's page shows.

    Attributes:
      rows: a row of `tables.overview` for the headline windows of each cell and run, with what `_row` adds.
      metrics: the logged steps by cell and run.
      tokens: rows of `tables.top_tokens` by cell and run.
      missing: cells that are not complete, and why.
    """

    rows: list[Row]
    metrics: dict[tuple[str, str], list[Row]]
    tokens: dict[tuple[str, str], list[Row]]
    missing: dict[str, str]


def load(
    folder: Path,
    cells: Mapping[str, Cell],
    asked: Mapping[str, Experiment],
    runs: Mapping[str, Run],
    vocabulary: Callable[[str], Vocabulary],
) -> Found:
    """Reads the workdirs of all cells that have been compared.

    Args:
      folder: of the grid.
      cells: all of them.
      asked: their experiments; a cell that was made by another one takes no part.
      runs: of all cells.
      vocabulary: gives the pieces and end tokens of a cell's tokenizer.

    Raises:
      InputError: no cell has results.
    """
    found, plain_runs, named = Found([], {}, {}, {}), plain(runs), published_as(runs)
    for name, cell in cells.items():
        try:
            read = results.load(results.Workdir(folder / 'cells' / name))
        except InputError as error:
            found.missing[name] = str(error)
            continue
        if other := _otherwise(read.config, asked[name]):
            found.missing[name] = f'it was made with another config.{other}; run it again, or give that value'
            continue
        if unfinished := [run for run in read.unfinished if run in read.config['runs']]:
            found.missing[name] = f'runs {", ".join(unfinished)} have not been compared'
        pieces, end_ids = vocabulary(name)
        rows = _rows(read, plain_runs, named)
        factors = {
            'cell': name, 'data': cell.data, 'size': cell.size, 'seed': cell.seed, 'test': cell.test,
            'treated': cell.treated,
        }  # fmt: skip
        found.rows.extend({**factors, 'base': read.config['base']['source'], **row} for row in rows)
        for row in rows:
            run = row['run']
            found.metrics[name, run] = read.metrics[run]
            found.tokens[name, run] = tables.top_tokens(read.tokens[run], pieces, end_ids)
    if not found.rows:
        raise InputError(f'{folder}: no cell has results yet; {next(iter(found.missing.values()))}')
    return found


def _otherwise(recorded: Row, asked: Experiment) -> str | None:
    """The first key in which the config that made a cell differs from the present one, with both values."""
    sides = (recorded, dataclasses.asdict(asked))
    old, new = ({key: value for key, value in side.items() if key not in _NOT_OF_RESULTS} for side in sides)
    return ledger.difference(old, new)


def plain(runs: Mapping[str, Run]) -> set[str]:
    """Those that differ from the first of their method in the learning rate at most."""
    methods = {name: run.method for name, run in runs.items()}
    lines = drawings.series({name: dataclasses.asdict(run) for name, run in runs.items()}, methods)
    first = {method: lines[name] for name, method in reversed(methods.items())}
    return {name for name, method in methods.items() if lines[name] == first[method]}


def published_as(runs: Mapping[str, Run]) -> dict[str, str]:
    """The method by the paper's name, of runs such as it has: plain ones, and LoRA with NEFTune alone; else empty."""
    named = {}
    for name, run in runs.items():
        quiet = {**runs, name: dataclasses.replace(run, neftune_alpha=0.0)}
        if name in plain(runs):
            named[name] = run.method
        else:
            named[name] = 'neftune' if run.method == 'lora' and name in plain(quiet) else ''
    return named


def _rows(found: Results, plain_runs: Collection[str], named: Mapping[str, str]) -> list[Row]:
    rows = tables.overview(found.summaries, found.metrics, found.config['runs'], 'all')
    # A run that the config no longer has would be taken for a treatment.
    head = [row for row in found.of_headline(rows) if row['run'] in found.config['runs']]
    truth.add_to_overview(head, truth.rows(found.truths))
    annotated = found.annotated['runs'] if found.annotated else {}
    return [
        {'plain': row['run'] in plain_runs, 'published_as': named[row['run']], **_row(row, rows, found)}
        | _said(annotated.get(row['run'], {}))
        for row in head
    ]


def _said(figures: Row) -> Row:
    names = {'hallucinates': 'hallucinates', 'in_tuning_data': 'phrases_in_tuning_data'}
    return {name: figures[key] for key, name in names.items() if figures.get(key) is not None}


def _row(row: Row, rows: list[Row], found: Results) -> Row:
    """A row of the overview with more columns.

    `held_out_loss`: nats a token of the data's answers to the prompts, in the controlled world to those that ask for
    nothing that was trained on. `wrong_share`: held-out answers that are wrong but not broken; counts of questions come
    with it. `words_CLASS`: of the words that begin in a token of a class, the share that the tuning data have, and
    `words_CLASS_null` the null corpus, where borrowing.json is there. `score_ASPECT`: mean scores by the first judge,
    and `task_score_TASK` that of helpfulness over the prompts of one task.
    """
    run = row['run']
    of_references = [
        other for other in rows
        if other['run'] == run and (other['context'], other['template']) == ('reference', 'matched')
    ]  # fmt: skip
    more: Row = {}
    if of_references:
        more['held_out_loss'] = _held_out_loss(found, run, of_references[0])
        more['reference_kl_tuned_base'] = of_references[0]['kl_tuned_base']
    more['early_fall'] = early_fall(found.metrics[run])
    if (asked := found.truths.get(run, {})).get('held_out_n'):
        more['wrong_share'] = asked['wrong_n'] / asked['held_out_n']
        more |= {name: asked[name] for name in set(comparisons.QUESTIONS.values())}
    for name, item in found.explained.get(run, {}).get('borrowing', {}).get('words', {}).items():
        if name in CLASSES:
            more |= {f'words_{name}': item['tuning']['mean'], f'words_{name}_null': item['null']['mean']}
    for verdict in list(found.judged.get(run, {}).values())[:1]:
        more |= judged(verdict.summary)
    return row | more


def judged(summary: Row) -> Row:
    """`score_ASPECT` and `task_score_TASK` of a judge's summary (see `judge.scores.summary`)."""
    tasks = [group for group in summary['groups'] if group['field'] == 'task' and 'helpfulness' in group['aspects']]
    return {f'score_{aspect}': item['mean'] for aspect, item in summary['aspects'].items()} | {
        f'task_score_{group["value"]}': group['aspects']['helpfulness']['mean'] for group in tasks
    }


def _held_out_loss(found: Results, run: str, windows: Row) -> float:
    keys = {name: windows[name] for name in ('context', 'template', 'context_length', 'step') if name in windows}
    tokens = records.read(found.workdir.run(run) / 'tokens', [*keys, 'example_id', 'emitted_tuned_logprob'])
    for name, value in keys.items():
        tokens = tokens.filter(pc.equal(tokens[name], value))
    facts = found.workdir.data / 'world' / 'facts.json'
    questions = json.loads(facts.read_text(encoding='utf-8'))['questions'] if facts.is_file() else {}
    trained = [name for name, question in questions.items() if question['kind'] == 'new']
    held_out = tokens.filter(pc.invert(pc.is_in(tokens['example_id'], pa.array(trained, pa.string()))))
    return -pc.mean(held_out['emitted_tuned_logprob']).as_py()


def early_fall(metrics: Sequence[Row]) -> float | None:
    """The share of the fall of the training loss, from the first to the last tenth of the steps, in the first half.

    Single batches are noisy, so each loss is a mean over a tenth: the first, that around half-way, and the last. Of a
    straight line the share is one half. A fall within the first tenth is not seen, so it says rather too little. None
    where a tenth has no logged step, or where the loss does not fall.
    """
    last = metrics[-1]['step'] if metrics else 0
    tenths = [
        [row['loss'] for row in metrics if low * last < 20 * row['step'] <= high * last]
        for low, high in ((0, 2), (9, 11), (18, 20))
    ]
    if not all(tenths):
        return None
    first, middle, final = (sum(losses) / len(losses) for losses in tenths)
    return (first - middle) / (first - final) if first > final else None
