"""LoRA against full tuning, at several ways of making the two comparable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxshift.grid.spread import geometric, spread
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
    'reference_loss': "loss on the data's answers, nats a token",
    'late_fall': 'fall of the loss in the second half of training, nats',
    'words_shifted': 'words begun by a shifted token that the tuning data have',
    'words_shifted_null': 'the same of data that nothing was trained on',
    'words_marginal': 'words begun by a marginal token that the tuning data have',
    'words_marginal_null': 'the same of data that nothing was trained on',
    'hallucinates': 'responses that hallucinate, by annotators',
    'phrases_in_tuning_data': 'marked phrases that stand in the tuning data',
    'aligntds_kl': 'KL by the arithmetic of AlignTDS',
}  # fmt: skip
RATIOS = ('kl_tuned_base', 'reference_kl_tuned_base', 'sentence_start', 'sentence_rest', 'kl_at_values', 'aligntds_kl')
KEY = ('base', 'data', 'size')


class Pair(NamedTuple):
    """Two rows of one base, data set, size and seed."""

    lora: Row
    full: Row


Pairs = dict[tuple[int, int], Pair]  # by size and seed


def same_rate(lora: Sequence[Row], full: Sequence[Row]) -> Pair | None:
    """The first two of one learning rate: what the paper compares."""
    return next((Pair(a, b) for a in lora for b in full if a['learning_rate'] == b['learning_rate']), None)


def best_rate(lora: Sequence[Row], full: Sequence[Row]) -> Pair | None:
    """Of each method the run that gives the data's own answers to the prompts the greatest probability."""
    if any(row.get('reference_loss') is None for row in (*lora, *full)):
        return None
    return Pair(*(min(rows, key=lambda row: row['reference_loss']) for rows in (lora, full)))


def same_loss(lora: Sequence[Row], full: Sequence[Row]) -> Pair | None:
    """The two whose final training losses are closest."""
    return _closest('final_loss', lora, full)


def same_kl(lora: Sequence[Row], full: Sequence[Row]) -> Pair | None:
    """The two whose mean KL is closest."""
    return _closest('kl_tuned_base', lora, full)


def _closest(column: str, lora: Sequence[Row], full: Sequence[Row]) -> Pair | None:
    known = [Pair(a, b) for a in lora for b in full if a[column] is not None and b[column] is not None]
    return min(known, key=lambda pair: abs(pair.lora[column] - pair.full[column]), default=None)


PAIRINGS: dict[str, Callable[[Sequence[Row], Sequence[Row]], Pair | None]] = {
    'same learning rate': same_rate,
    'best learning rate': best_rate,
    'closest training loss': same_loss,
    'closest mean KL': same_kl,
}


def pairs(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Pairs]]:
    """(base, data) to pairing to the pairs that it makes; runs with treatments take no part."""
    found: dict[tuple[str, str], dict[str, Pairs]] = {}
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row['plain']:
            groups.setdefault(tuple(row[name] for name in (*KEY, 'seed')), []).append(row)
    for (base, data, size, seed), items in sorted(groups.items()):
        lora, full = ([row for row in items if row['method'] == method] for method in ('lora', 'full'))
        if lora and full:
            for name, choose in PAIRINGS.items():
                if pair := choose(lora, full):
                    found.setdefault((base, data), {}).setdefault(name, {})[size, seed] = pair
    return found


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
    sides = [spread([pair[side] for pair in both]) for side in (0, 1)]
    if sides[0] is None and sides[1] is None:
        return None
    known = [(lora, full) for lora, full in both if lora is not None and full is not None]
    row: Row = {'measure': measure, 'seeds': len(known)}
    for name, side in zip(('lora', 'full'), sides, strict=True):
        row |= _columns(side, name)
    row |= _columns(spread([full - lora for lora, full in known]), 'difference')
    if measure in RATIOS:
        row |= _columns(geometric([full / lora if lora else None for lora, full in known]), 'ratio')
    return row | {
        'lora_runs': _named(pair.lora['run'] for pair in found),
        'full_runs': _named(pair.full['run'] for pair in found),
    }


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
        mean |= {name: first[name] for name in ('method', 'learning_rate', 'plain')} | {'seeds': len(items)}
        names = [*MEASURES, *(name for name in first if name.startswith(('score_', 'aligntds_')))]
        for name in dict.fromkeys(names):
            if found := spread([item.get(name) for item in items]):
                mean |= found.columns(name)
        made.append(mean)
    return made
