"""The published numbers of Ghosh et al. (arXiv 2402.05119) beside those of runs on the paper's bases.

Published shift was measured, most likely, by the arithmetic of AlignTDS, so the columns of `sweep.compat=aligntds` are
held to it and the exact measures are not. Scores are those that GPT-4 gave. Rows of the paper that contradict each
other are marked suspect, and those whose making it leaves open: Figure 4 does not name its data, and scores by task are
held to helpfulness, which just-eval's own script sorts by task, but the paper does not say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jaxshift.report.tables import Row

# Columns of AlignTDS's arithmetic by the paper's names of Figure 1.
MEASURES = {'KL': 'aligntds_kl', 'base_prob': 'aligntds_top_probability', 'base_rank': 'aligntds_top_rank'}
# What the paper leaves open (template, cutoff, precision, seed) moves a number by some percent.
TOLERANCE = 0.1  # of the published number, beside the error of reading it
# Columns of our scores, and why a published one is not sure.
_SCORES = {'aspects': ('score_', ''), 'tasks': ('task_score_', 'the paper does not say of which aspect it is')}


@cache
def published() -> dict[str, Any]:
    """The content of reference.json."""
    return json.loads(Path(__file__).with_name('reference.json').read_text(encoding='utf-8'))


def base_of(source: str) -> str:
    """The name of a base as reference.json has it: the last part of its source."""
    return source.rpartition(':')[2].rstrip('/').rpartition('/')[2]


def points(source: str, data: str) -> dict[str, list[Row]]:
    """Figure 1 of a base and data set: column of the compat measure to rows of method, size and value."""
    found: dict[str, list[Row]] = {}
    for line in published()['figure_1']['lines']:
        if (line['base'], line['data']) == (base_of(source), data):
            found.setdefault(MEASURES[line['measure']], []).extend(
                {'method': line['method'], 'size': int(size), 'value': value} for size, value in line['values'].items()
            )
    return found


def compare(rows: Sequence[Row]) -> list[Row]:
    """Our number beside each published one.

    Args:
      rows: with base, data, size, test, published_as (method by the paper's name), learning_rate, and the columns
        that are compared, with `_low` and `_high` if known.

    Returns:
      Rows of base, data, size, run, what, ours with its interval, published, difference, tolerance, `within` (the
      published number differs by no more than the tolerance, or lies in our interval) and suspect (why, or '').
    """
    return [
        {'base': row['base'], 'data': row['data'], 'size': row['size'], 'run': row['run'], **figures}
        for row in rows
        if row['learning_rate'] == published()['learning_rate']
        for figures in _of_row(row)
    ]


def _of_row(row: Row) -> Iterator[Row]:
    tables, errors, base = published(), published()['figure_1']['error'], base_of(row['base'])
    for name, column in MEASURES.items():
        for point in points(row['base'], row['data']).get(column, ()):
            if (point['method'], point['size']) == (row['published_as'], row['size']):
                yield from _beside(row, column, f'Figure 1, {name}', point['value'], errors[name])
    for item in tables['figure_4']['rows']:
        if tuple(item[name] for name in ('base', 'method', 'size')) == (base, row['published_as'], row['size']):
            for place, what in (('sentence_start', 'first 5 % of each sentence'), ('sentence_rest', 'the rest')):
                figure = f'Figure 4, KL, {what}'
                why = 'the paper does not name the data'
                yield from _beside(row, f'aligntds_{place}', figure, item[place], tables['figure_4']['error'], why)
    scores = tables['scores']
    suspect = {(each['table'], each['row']): each['why'] for each in tables['suspect']}
    for values in scores['rows']:
        item = dict(zip(scores['columns'], values, strict=True))
        asked = tuple(item[name] for name in ('base', 'method', 'data', 'size', 'test'))
        if asked == (base, *(row[name] for name in ('published_as', 'data', 'size', 'test'))):
            prefix, why = _SCORES[item['of']]
            why = suspect.get((item['table'], item['row']), why)
            for name, value in zip(scores[item['of']], item['values'], strict=True):
                what = f'Table {item["table"]}, row {item["row"]}, {item["test"]}, {name}'
                yield from _beside(row, f'{prefix}{name}', what, value, scores['error'], why)


def _beside(row: Row, column: str, what: str, value: float, error: float, suspect: str = '') -> Iterator[Row]:
    if row.get(column) is None:
        return
    ours: float = row[column]
    low, high = row.get(f'{column}_low'), row.get(f'{column}_high')
    tolerance = error + TOLERANCE * abs(value)
    inside = low is not None and high is not None and low <= value <= high
    yield {
        'what': what, 'ours': ours, 'ours_low': low, 'ours_high': high, 'published': value,
        'difference': ours - value, 'tolerance': tolerance,
        'within': 'yes' if inside or abs(ours - value) <= tolerance else 'no', 'suspect': suspect,
    }  # fmt: skip


def suspects() -> list[Row]:
    """Rows of the paper that contradict each other: table, row and why."""
    return published()['suspect']
