"""The published numbers of Ghosh et al. (arXiv 2402.05119) beside those of runs on the paper's bases.

Published shift was measured, most likely, by the arithmetic of AlignTDS, so the columns of `sweep.compat=aligntds` are
held to it and the exact measures are not. Scores are those that GPT-4 gave. Rows of the paper that contradict each
other are marked suspect.
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


def sentences(source: str) -> list[Row]:
    """Figure 4 of a base: KL in the first 5 % of each sentence and in the rest; the data set is not named there."""
    return [row for row in published()['figure_4']['rows'] if row['base'] == base_of(source)]


def compare(rows: Sequence[Row]) -> list[Row]:
    """Our number beside each published one.

    Args:
      rows: with base, data, size, test, method, plain, and the columns that are compared, with `_low` and `_high` if
        known.

    Returns:
      Rows of base, data, size, run, what, ours with its interval, published, difference, tolerance, `within` (the
      published number differs by no more than the tolerance, or lies in our interval) and suspect (why, or '').
    """
    return [
        {'base': row['base'], 'data': row['data'], 'size': row['size'], 'run': row['run'], **figures}
        for row in rows
        if row['plain']
        for figures in _of_row(row)
    ]


def _of_row(row: Row) -> Iterator[Row]:
    tables, errors = published(), published()['figure_1']['error']
    for name, column in MEASURES.items():
        for point in points(row['base'], row['data']).get(column, ()):
            if (point['method'], point['size']) == (row['method'], row['size']) and row.get(column) is not None:
                yield _beside(row, column, f'Figure 1, {name}', point['value'], errors[name])
    scores, base = tables['scores'], base_of(row['base'])
    suspect = {(each['table'], each['row']): each['why'] for each in tables['suspect']}
    for values in scores['rows']:
        item = dict(zip(scores['columns'], values, strict=True))
        asked = tuple(item[name] for name in ('base', 'method', 'data', 'size', 'test'))
        if item['of'] == 'aspects' and asked == (base, *(row[name] for name in ('method', 'data', 'size', 'test'))):
            why = suspect.get((item['table'], item['row']), '')
            for aspect, value in zip(scores['aspects'], item['values'], strict=True):
                if row.get(f'score_{aspect}') is not None:
                    what = f'Table {item["table"]}, row {item["row"]}, {item["test"]}, {aspect}'
                    yield _beside(row, f'score_{aspect}', what, value, scores['error'], why)


def _beside(row: Row, column: str, what: str, value: float, error: float, suspect: str = '') -> Row:
    ours: float = row[column]
    low, high = row.get(f'{column}_low'), row.get(f'{column}_high')
    tolerance = error + TOLERANCE * abs(value)
    inside = low is not None and high is not None and low <= value <= high
    return {
        'what': what, 'ours': ours, 'ours_low': low, 'ours_high': high, 'published': value,
        'difference': ours - value, 'tolerance': tolerance,
        'within': 'yes' if inside or abs(ours - value) <= tolerance else 'no', 'suspect': suspect,
    }  # fmt: skip


def suspects() -> list[Row]:
    """Rows of the paper that contradict each other: table, row and why."""
    return published()['suspect']
