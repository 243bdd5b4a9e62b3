"""findings.md: which findings of the paper hold in a grid, as measured, for people and for version control."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from jaxshift.grid import comparisons, findings
from jaxshift.grid.pairing import PAIRINGS, remarks
from jaxshift.grid.sections import interval
from jaxshift.grid.spread import WORDS
from jaxshift.report.tables import Row

_SHOWN = (
    'kl_tuned_base', 'unshifted', 'marginal', 'shifted', 'sentence_start', 'sentence_rest', 'held_out_accuracy',
    'new_fact_accuracy', 'wrong_share', 'borrowed_share', 'borrowed_null', 'words_shifted', 'words_shifted_null',
    'mean_response_words', 'kl_at_values', 'early_fall', 'final_loss', 'held_out_loss',
)  # fmt: skip


Group = tuple[str, str]  # base and data set


def text(
    name: str,
    command: str,
    groups: Mapping[Group, Sequence[Row]],
    asked: Mapping[Group, Sequence[Row]],
    missing: Sequence[str],
) -> str:
    """The whole file.

    Args:
      name: of the study.
      command: that made it; only its config is told, since every cell was made by that one, maybe by another start.
      groups: the rows of its cells and runs.
      asked: of these, the rows of `findings.table`.
      missing: cells that are not complete.
    """
    lines = [
        f'# {name}: which findings of the paper hold',
        '',
        'Written by the program from the files of a run; not edited by hand. The paper is Ghosh et al., A Closer Look '
        'at the Limitations of Instruction Tuning (ICML 2024, arXiv 2402.05119).',
        '',
        f'    python {shlex.join(_config_of(command))}',
        '',
        f'Means over seeds, with {WORDS}. {findings.WORDS}',
    ]
    if missing:
        lines += ['', f'Cells that are not complete: {", ".join(missing)}.']
    for (base, data), rows in groups.items():
        lines += ['', f'## Base {base}, data {data}', '', *_group(rows, asked[base, data])]
    return '\n'.join(lines) + '\n'


def _config_of(command: str) -> list[str]:
    words = shlex.split(command)
    kept = words[:1]
    for word, after in zip(words[1:], [*words[2:], '-'], strict=True):
        name, equals, _ = word.lstrip('-').partition('=')
        if word.startswith('-') and (name == 'config' or name.startswith('config.')):
            kept += [word] if equals or after.startswith('-') else [word, after]
    return kept


def _group(rows: Sequence[Row], asked: Sequence[Row]) -> Iterator[str]:
    verdicts, pairings = findings.verdicts(asked), list(PAIRINGS)
    seeds, sizes = (sorted({row[name] for row in rows}) for name in ('seed', 'size'))
    yield f'{len(seeds)} seeds; {", ".join(map(str, sizes))} examples.'
    yield ''
    asked_at = list(dict.fromkeys([*pairings, *(name for found in verdicts.values() for name in found)]))
    yield from _table(
        ['', 'finding', *asked_at],
        [[str(each.number), each.claim, *(verdicts.get(each.number, {}).get(name, '') for name in asked_at)]
         for each in findings.FINDINGS],
    )  # fmt: skip
    for finding in findings.FINDINGS:
        here = [row for row in asked if row['finding'] == finding.number]
        yield from ('', f'### {finding.number}. {finding.claim[0].upper()}{finding.claim[1:]}', '')
        yield from _table(
            ['compared at', 'question', 'data', 'value', 'no effect', 'verdict'],
            [[row['pairing'], row['question'], row['about'], interval(row, 'value'), f'{row["null"]:g}', row['verdict']]
             for row in here],
        )  # fmt: skip
        if finding.not_asked:
            yield from ('', f'Not measured: {finding.not_asked}')
    yield from ('', '### The numbers behind them')
    for remark in remarks(rows):
        yield from ('', f'{remark[0].upper()}{remark[1:]}.')
    compared = comparisons.table(rows)
    for pairing in pairings:
        here = [row for row in compared if row['pairing'] == pairing and row['measure'] in _SHOWN]
        if here:
            yield from ('', f'{pairing[0].upper()}{pairing[1:]}. {PAIRINGS[pairing].told}', '')
            yield from _numbers(here)


def _numbers(rows: Sequence[Row]) -> Iterator[str]:
    sizes = sorted({row['size'] for row in rows})
    by = {(row['measure'], row['size']): row for row in rows}
    runs = {row['size']: row for row in rows}
    yield from _table(
        ['', *(f'{side}, n = {size}' for size in sizes for side in ('LoRA', 'full'))],
        [
            ['runs', *(runs[size][f'{side}_runs'] for size in sizes for side in ('lora', 'full'))],
            *(
                [comparisons.MEASURES[measure],
                 *(interval(by.get((measure, size), {}), side) for size in sizes for side in ('lora', 'full'))]
                for measure in _SHOWN if any((measure, size) in by for size in sizes)
            ),
        ],
    )  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f'| {" | ".join(head)} |'
    yield f'|{"---|" * len(head)}'
    for row in rows:
        yield f'| {" | ".join(cell or "–" for cell in row)} |'
