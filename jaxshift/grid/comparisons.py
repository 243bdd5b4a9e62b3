"""The measures of LoRA beside those of full tuning, and the means of every run, over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxshift.grid.pairing import KEY, Pair, pairs
from jaxshift.grid.spread import Spread, geometric, spread
from jaxshift.report.tables import Row

MEASURES = {
    'kl_tuned_base': 'mean KL(tuned ‖ base), nats',
    'reference_kl_tuned_base': "mean KL on the data's answers, nats",
    'base_probability': "base probability of the tuned model's choice",
    'base_rank': 'base rank of that choice',
    'unshifted': 'unshifted positions, %',
    'marginal': 'marginal positions, %',
    'shifted': 'shifted positions, %',
    'sentence_start': 'KL in the first 5 % of each sentence, nats',
    'sentence_rest': 'KL in the rest of each sentence, nats',
    'held_out_accuracy': 'held-out accuracy',
    'new_fact_accuracy': 'new-fact accuracy',
    'broken_share': 'broken answers',
    'wrong_share': 'wrong held-out answers that are not broken',
    'borrowed_share': 'of these, borrowed from someone of the same name',
    'borrowed_null': 'the same by chance',
    'mean_response_words': 'words in an answer',
    'kl_at_values': 'KL at values, nats',
    'value_share_of_shifted': 'values among shifted tokens',
    'style_share_of_shifted': 'style words among shifted tokens',
    'final_loss': 'final training loss, nats a token',
    'held_out_loss': "loss on the data's answers to held-out prompts, nats a token",
    'early_fall': 'share of the fall of the training loss in its first half',
    'words_shifted': 'words begun by a shifted token that the tuning data have',
    'words_shifted_null': 'the same of data that nothing was trained on',
    'words_marginal': 'words begun by a marginal token that the tuning data have',
    'words_marginal_null': 'the same of data that nothing was trained on',
    'hallucinates': 'responses that hallucinate, by annotators',
    'phrases_in_tuning_data': 'marked phrases that stand in the tuning data',
    'aligntds_kl': 'KL by the arithmetic of AlignTDS',
}  # fmt: skip
# Shares of questions, and the column that says of how many.
QUESTIONS = {
    'held_out_accuracy': 'held_out_n', 'broken_share': 'held_out_n', 'wrong_share': 'held_out_n',
    'new_fact_accuracy': 'new_fact_n', 'borrowed_share': 'wrong_n',
}  # fmt: skip
SHARES = (
    *QUESTIONS, 'borrowed_null', 'value_share_of_shifted', 'style_share_of_shifted', 'words_shifted',
    'words_shifted_null', 'words_marginal', 'words_marginal_null', 'hallucinates', 'phrases_in_tuning_data',
)  # fmt: skip
_SAME = ('test', 'treated', 'method', 'published_as', 'learning_rate', 'plain')  # in all seeds
DIVERGENCES = ('kl_tuned_base', 'reference_kl_tuned_base', 'sentence_start', 'sentence_rest', 'kl_at_values')
RATIOS = (*DIVERGENCES, 'aligntds_kl')  # which is no divergence


def table(rows: Sequence[Row]) -> list[Row]:
    """A row for each base, data set, size, pairing and measure: both means, and their paired difference and ratio.

    `difference` is full minus LoRA, `ratio` full over LoRA (a geometric mean, of divergences alone); intervals are over
    seeds. `lora_runs` and `full_runs` name the runs that were paired.
    """
    made: list[Row] = []
    for (base, data), by_pairing in pairs(rows).items():
        for pairing, found in by_pairing.items():
            for size in sorted({size for size, _ in found}):
                here = [pair for (each, _), pair in found.items() if each == size]
                key = {'base': base, 'data': data, 'size': size, 'pairing': pairing}
                made += [key | row for measure in MEASURES if (row := _compared(here, measure))]
    return made


def _compared(found: Sequence[Pair], measure: str) -> Row | None:
    both = [(pair.lora.get(measure), pair.full.get(measure)) for pair in found]
    sides = [mean_of([pair[side] for pair in found], measure) for side in (0, 1)]
    if sides[0] is None and sides[1] is None:
        return None
    known = [(lora, full) for lora, full in both if lora is not None and full is not None]
    row: Row = {'measure': measure, 'seeds': len(known)}
    for name, side in zip(('lora', 'full'), sides, strict=True):
        row |= _columns(side, name)
    differences = [full - lora if lora is not None and full is not None else None for lora, full in both]
    row |= _columns(spread(differences, [asked_in(pair, measure) for pair in found]), 'difference')
    if measure in RATIOS:
        row |= _columns(geometric([full / lora if lora else None for lora, full in known]), 'ratio')
    return row | {
        'lora_runs': _named(pair.lora['run'] for pair in found),
        'full_runs': _named(pair.full['run'] for pair in found),
    }


def mean_of(rows: Sequence[Row], measure: str) -> Spread | None:
    """The mean of a measure over seeds, one row each."""
    cases = QUESTIONS.get(measure, '')
    found = spread([row.get(measure) for row in rows], [row.get(cases) for row in rows])
    if found and measure in SHARES:
        return found.within(0.0, 1.0)
    return found.within(0.0, math.inf) if found and measure in DIVERGENCES else found


def asked_in(rows: Sequence[Row], measure: str) -> float | None:
    """Of how many questions a measure is a share in these rows: the most; None where it is no such share."""
    return max((row.get(QUESTIONS.get(measure, '')) or 0 for row in rows), default=0) or None


def _columns(found: Any, name: str) -> Row:
    return found.columns(name) if found else dict.fromkeys((name, f'{name}_low', f'{name}_high'))


def _named(runs) -> str:
    names = list(runs)
    counts: Mapping[str, int] = {name: names.count(name) for name in names}
    return ', '.join(name if len(counts) == 1 else f'{name} ({count})' for name, count in counts.items())


def means(rows: Sequence[Row]) -> list[Row]:
    """A row for each base, data set, size and run: the mean of each measure over seeds, with its interval."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in (*KEY, 'run')), []).append(row)
    made = []
    runs = list(dict.fromkeys(row['run'] for row in rows))
    for key, items in sorted(groups.items(), key=lambda group: (*group[0][:-1], runs.index(group[0][-1]))):
        first = items[0]
        mean: Row = dict(zip((*KEY, 'run'), key, strict=True))
        mean |= {name: first[name] for name in _SAME} | {'seeds': len(items)}
        names = [*MEASURES, *(name for name in first if name.startswith(('score_', 'task_score_', 'aligntds_')))]
        for name in dict.fromkeys(names):
            if found := mean_of(items, name):
                mean |= found.columns(name)
        made.append(mean)
    return made
