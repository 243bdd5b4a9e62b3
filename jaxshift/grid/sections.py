"""The parts of a grid's page: findings, comparisons, figures and the published numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxshift.grid import comparisons, figures, findings, pairing
from jaxshift.grid.results import Found
from jaxshift.grid.spread import WORDS
from jaxshift.report import reference
from jaxshift.report.explained import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import number

SHIFT = (
    ('kl_tuned_base', 'mean KL(tuned ‖ base), nats'),
    ('base_probability', "base probability of\nthe tuned model's choice"),
    ('base_rank', 'base rank of that choice'),
)
COMPAT = (
    ('aligntds_kl', 'KL of AlignTDS'),
    ('aligntds_top_probability', 'its base probability'),
    ('aligntds_top_rank', 'its base rank, from 0'),
)
KNOWLEDGE = (
    ('held_out_accuracy', 'held-out accuracy'),
    ('new_fact_accuracy', 'new-fact accuracy'),
    ('mean_response_words', 'words in an answer'),
    ('hallucinates', 'hallucinating responses,\nby annotators (Figure 6)'),
)
SCORES = (('score_helpfulness', 'helpfulness, 1 to 5'), ('score_factuality', 'factuality, 1 to 5'))
BORROWED = {name: f'{name}_null' for name in ('words_shifted', 'words_marginal')} | {'borrowed_share': 'borrowed_null'}
_MOST_TOKENS = 125  # of a run, as in the paper's Figure 12


def of_group(found: Found, asked: Sequence[Row], base: str, data: str) -> Iterator[Section]:
    """The sections of one base and data set; `asked` are its rows of `findings.table`."""
    of_base = [row for row in found.rows if row['base'] == base]
    rows = [row for row in of_base if row['data'] == data]
    means, suffix = comparisons.means(rows), f'-{reference.base_of(base) or "world"}-{data}'
    compared = comparisons.table(rows)
    if asked:
        yield _findings(asked)
    if compared:
        yield _comparisons(compared, pairing.remarks(rows))
    yield _shift(means, base, data, suffix)
    yield _training(found, rows, means, suffix)
    yield from _knowledge(means, suffix)
    yield from treatments([*means, *comparisons.means([row for row in of_base if row['treated'] == data])], suffix)
    yield _tokens(found, rows, suffix)
    yield _published(means)


def _findings(rows: Sequence[Row]) -> Section:
    verdicts = findings.verdicts(rows)
    summed = [
        {'finding': each.number, 'claim': each.claim, **verdicts.get(each.number, {}), 'not measured': each.not_asked}
        for each in findings.FINDINGS
    ]
    columns = list(dict.fromkeys(key for row in summed for key in row))
    counts = ', '.join(f'{count} {word}' for word, count in findings.counted(rows).items())
    return Section(
        'Which findings of the paper hold here',
        [f'{findings.WORDS} Of {len(rows)} answers: {counts}. Intervals: {WORDS}.'],
        {
            'verdicts': [{key: row.get(key, '–') for key in columns} for row in summed],
            'findings': [{**{key: row[key] for key in ('finding', 'pairing', 'question', 'about')},
                          'value': interval(row, 'value'), 'null': row['null'], 'verdict': row['verdict']}
                         for row in rows],
        },
    )  # fmt: skip


def _comparisons(rows: Sequence[Row], remarks: Sequence[str]) -> Section:
    tables: dict[str, list[Row]] = {}
    for way in pairing.PAIRINGS:
        here = [row for row in rows if row['pairing'] == way]
        lines: dict[str, Row] = {}
        for row in here:
            line = lines.setdefault(row['measure'], {'measure': comparisons.MEASURES[row['measure']]})
            line[f'LoRA, n = {row["size"]:,}'] = interval(row, 'lora')
            line[f'full, n = {row["size"]:,}'] = interval(row, 'full')
        if here:
            runs = {f'{side}, n = {row["size"]:,}': row[f'{key}_runs'] for row in here
                    for side, key in (('LoRA', 'lora'), ('full', 'full'))}  # fmt: skip
            tables[way.replace(' ', '_')] = [{'measure': 'runs'} | runs, *lines.values()]
    told = ' '.join(f'{name[0].upper()}{name[1:]}: {each.told}' for name, each in pairing.PAIRINGS.items())
    limits = [f'To be kept in mind: {"; ".join(remarks)}.'] if remarks else []
    title = 'LoRA against full tuning, made comparable in four ways'
    return Section(title, [f'{told} Means and {WORDS}.', *limits], tables)


def _shift(means: Sequence[Row], base: str, data: str, suffix: str) -> Section:
    published = reference.points(base, data)
    drawn = {
        f'shift{suffix}': (
            figures.by_size(means, SHIFT, {}),
            'Shift against the size of the data, exact measures; the form of the paper’s Figure 1.',
        )
    }
    if any('aligntds_kl' in row for row in means):
        drawn[f'shift_compat{suffix}'] = (
            figures.by_size(means, COMPAT, published),
            'The same by the arithmetic of AlignTDS, on whose scale the published numbers most likely are.',
        )
    drawn[f'sentence{suffix}'] = (
        figures.sentence([row for row in means if row['plain']]),
        'Where in a sentence the shift sits; the form of the paper’s Figure 4.',
    )
    return Section('Shift against the size of the data', [], {}, drawn)


def _training(found: Found, rows: Sequence[Row], means: Sequence[Row], suffix: str) -> Section:
    curves: dict[tuple[int, str], list[list[Row]]] = {}
    for row in rows:
        if row['plain']:
            curves.setdefault((row['size'], row['run']), []).append(found.metrics[row['cell'], row['run']])
    drawn: dict[str, Any] = {}
    if any(line for lines in curves.values() for line in lines):
        methods = {row['run']: row['method'] for row in means if row['plain']}
        drawn[f'loss{suffix}'] = (figures.losses(curves, methods), 'Training loss, as the paper draws it.')
    if sum(column.startswith('score_') and not column.endswith(('_low', '_high')) for column in means[0]) > 2:
        pairs = [row for row in means if row['plain'] and row['learning_rate'] == means[0]['learning_rate']]
        drawn[f'radar{suffix}'] = (
            figures.radar(pairs),
            'Mean scores of the judge, LoRA and full tuning at one learning rate, at the smallest and largest data.',
        )
    return Section('Loss and scores', [], {}, drawn)


def _knowledge(means: Sequence[Row], suffix: str) -> Iterator[Section]:
    drawn: dict[str, Any] = {}
    if panels := [panel for panel in KNOWLEDGE if any(panel[0] in row for row in means)]:
        caption = 'What is known after tuning, and how long answers are.'
        drawn[f'knowledge{suffix}'] = (figures.by_size(means, panels, {}), caption)
    shares = [(name, comparisons.MEASURES[name]) for name in BORROWED if any(name in row for row in means)]
    if shares:
        drawn[f'borrowing{suffix}'] = (
            figures.borrowing([row for row in means if row['plain']], shares, BORROWED),
            'Borrowing from the tuning data beside its null; the form of the paper’s Figure 8.',
        )
    if drawn:
        yield Section('Knowledge and borrowing', [], {}, drawn)


def treatments(means: Sequence[Row], suffix: str) -> Iterator[Section]:
    """Runs of LoRA with a treatment, or on data that were made of these, beside plain ones on these."""
    lora = [row | {'run': row['data'], 'plain': False} if row['treated'] else row
            for row in means if row['method'] == 'lora']  # fmt: skip
    rates = {row['learning_rate'] for row in lora if not row['plain']}
    beside = [row for row in lora if row['learning_rate'] in rates]
    if any(row['plain'] for row in beside):
        known = [panel for panel in (*KNOWLEDGE[:2], *SCORES) if any(panel[0] in row for row in beside)]
        drawn = {
            f'treatments{suffix}': (
                figures.treatments(beside, known[:2] or SHIFT[:1]),
                'Treatments of LoRA beside the plain one; the form of the paper’s Figure 9.',
            )
        }
        yield Section('Treatments of data', [], {}, drawn)


def _tokens(found: Found, rows: Sequence[Row], suffix: str) -> Section:
    largest = max(row['size'] for row in rows)
    chosen = {row['run']: row['method'] for row in rows if row['plain'] and row['size'] == largest}
    first: dict[str, str] = {}
    for run, method in chosen.items():
        first.setdefault(method, run)
    counts = {
        run: summed([found.tokens[row['cell'], run] for row in rows if (row['run'], row['size']) == (run, largest)])
        for run in first.values()
    }
    caption = f'Tokens most often shifted or marginal, all seeds, n = {largest:,}; the form of the paper’s Figure 12.'
    return Section(
        'Which tokens shift',
        [],
        {'tokens': [{'run': run, **row} for run, items in counts.items() for row in items]},
        {f'tokens{suffix}': (figures.tokens(counts, chosen), caption)},
    )


def summed(tables: Sequence[Sequence[Row]]) -> list[Row]:
    """Counts of shifted and marginal positions by token, over several tables of top tokens; most frequent first."""
    shifted: Counter[str] = Counter()
    marginal: Counter[str] = Counter()
    for rows in tables:
        for row in rows:
            shifted[row['token']] += row['shifted']
            marginal[row['token']] += row['marginal']
    ends = {row['token'] for rows in tables for row in rows if row['is_end']}
    order = sorted(shifted, key=lambda token: (-shifted[token] - marginal[token], token))[:_MOST_TOKENS]
    return [{'token': token, 'is_end': token in ends, 'shifted': shifted[token], 'marginal': marginal[token]}
            for token in order]  # fmt: skip


def _published(means: Sequence[Row]) -> Section:
    rows = reference.compare(means)
    suspects = [f'Table {row["table"]}, row {row["row"]}: {row["why"]}' for row in reference.suspects()]
    if not rows:
        said = 'No published number belongs to this base, data and size, or the compat measures were not asked for.'
    else:
        inside = sum(row['within'] == 'yes' for row in rows)
        said = (
            f'{inside} of {len(rows)} published numbers lie within the tolerance (the error of reading them and '
            f'{100 * reference.TOLERANCE:.0f} %) or in our interval; {sum(bool(row["suspect"]) for row in rows)} of '
            'these are suspect.'
        )
    texts = [said, f'Suspect rows of the paper: {"; ".join(suspects)}.']
    return Section('Beside the published numbers', texts, {'reference': rows} if rows else {})


def interval(row: Mapping[str, Any], name: str) -> str:
    """A mean with its interval, in words."""
    low, high = row.get(f'{name}_low'), row.get(f'{name}_high')
    shown = number(row.get(name))
    return shown if low is None or high is None else f'{shown} [{number(low)}, {number(high)}]'
