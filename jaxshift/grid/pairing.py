"""Which runs of LoRA and of full tuning are held against each other, and what makes them comparable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxshift.causes import matched
from jaxshift.report.tables import Row

KEY = ('base', 'data', 'size')
VALIDATED = 'held_out_loss'  # the column that says which learning rate of a method is best


class Pair(NamedTuple):
    """Two rows of one base, data set, size and seed."""

    lora: Row
    full: Row


Pairs = dict[tuple[int, int], Pair]  # by size and seed
Choose = Callable[[Sequence[Row], Sequence[Row]], Pair | None]


@dataclass(frozen=True)
class Pairing:
    """One way to make the methods comparable.

    Attributes:
      told: in words.
      choose: gives the pair of the runs of LoRA and of full tuning in one cell; None where there is none.
      matched: the column that is made equal, of which therefore nothing can be asked.
    """

    told: str
    choose: Choose
    matched: str = ''


def same_rate(lora: Sequence[Row], full: Sequence[Row]) -> Pair | None:
    """The first two of one learning rate: what the paper compares."""
    return next((Pair(a, b) for a in lora for b in full if a['learning_rate'] == b['learning_rate']), None)


def best_rate(lora: Sequence[Row], full: Sequence[Row]) -> Pair | None:
    """Of each method the run that gives the data's own answers to held-out prompts the greatest probability."""
    if any(row.get(VALIDATED) is None for row in (*lora, *full)):
        return None
    return Pair(*(min(rows, key=lambda row: row[VALIDATED]) for rows in (lora, full)))


def equal(column: str) -> Choose:
    """Both methods where a column has one value: between two learning rates of each.

    The runs of a method, by learning rate, are points of a curve, on which everything changes linearly from one point
    to the next. The value lies in the middle of what both curves reach: there both have a run on either side, and
    neither is taken at its extreme rate, where runs break.
    """

    def choose(lora: Sequence[Row], full: Sequence[Row]) -> Pair | None:
        curves = [
            sorted((row for row in rows if row.get(column) is not None), key=lambda row: row['learning_rate'])
            for rows in (lora, full)
        ]
        if min(map(len, curves)) < 2:
            return None
        low = max(min(row[column] for row in curve) for curve in curves)
        high = min(max(row[column] for row in curve) for curve in curves)
        if low > high:
            return None
        sides = [_at(curve, column, (low + high) / 2) for curve in curves]
        return Pair(sides[0], sides[1]) if sides[0] and sides[1] else None

    return choose


def _at(curve: Sequence[Row], column: str, level: float) -> Row | None:
    """The row of a curve where a column first comes to a level; what is no number stays where both points agree."""
    place = matched.reach(curve, column, level)
    if place is None:
        return None
    one, other = curve[place.first], curve[place.second]
    made: Row = {'run': f'{one["run"]} to {other["run"]}'}
    for name in one.keys() - made.keys():
        value, next_value = one[name], other.get(name)
        numbers = all(isinstance(each, int | float) for each in (value, next_value))
        made[name] = value if value == next_value else place.between(curve, name) if numbers else None
    return made


PAIRINGS: dict[str, Pairing] = {
    'same learning rate': Pairing('The first two of one learning rate: what the paper compares.', same_rate),
    'best learning rate': Pairing(
        "Of each method the run that gives the data's own answers to held-out prompts the greatest probability.",
        best_rate,
    ),
    'equal training loss': Pairing(
        'Both between two of their learning rates, where the final training losses are equal.',
        equal('final_loss'),
        'final_loss',
    ),
    'equal mean KL': Pairing(
        'Both between two of their learning rates, where the mean KLs are equal.',
        equal('kl_tuned_base'),
        'kl_tuned_base',
    ),
}


def pairs(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Pairs]]:
    """(base, data) to pairing to the pairs that it makes; runs with treatments take no part."""
    found: dict[tuple[str, str], dict[str, Pairs]] = {}
    for (base, data, size, seed), lora, full in _cells(rows):
        for name, pairing in PAIRINGS.items():
            if pair := pairing.choose(lora, full):
                found.setdefault((base, data), {}).setdefault(name, {})[size, seed] = pair
    return found


def _cells(rows: Sequence[Row]) -> Iterator[tuple[tuple, list[Row], list[Row]]]:
    """(base, data, size, seed) with its plain runs of LoRA and of full tuning, where there are both."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row['plain']:
            groups.setdefault(tuple(row[name] for name in (*KEY, 'seed')), []).append(row)
    for key, items in sorted(groups.items()):
        lora, full = ([row for row in items if row['method'] == method] for method in ('lora', 'full'))
        if lora and full:
            yield key, lora, full


def remarks(rows: Sequence[Row]) -> list[str]:
    """Of rows of one base and data set: where the methods do not meet, and best rates at an edge of those tried."""
    seeds: dict[int, int] = {}
    found: dict[tuple[str, int], int] = {}

    def count(text: str, size: int) -> None:
        found[text, size] = found.get((text, size), 0) + 1

    for (_, _, size, _), lora, full in _cells(rows):
        seeds[size] = seeds.get(size, 0) + 1
        for name, pairing in PAIRINGS.items():
            if pairing.matched and not pairing.choose(lora, full):
                count(f'{name}: these learning rates of the two methods do not meet', size)
        best = best_rate(lora, full)
        if not best and len(lora) + len(full) > 2:
            count("best learning rate: nobody measured the loss on the data's answers to held-out prompts", size)
        if best:
            for title, chosen, tried in (('LoRA', best.lora, lora), ('full tuning', best.full, full)):
                if edge := _edge(chosen['learning_rate'], [row['learning_rate'] for row in tried]):
                    count(f'best learning rate: that of {title} is the {edge} of those tried', size)
    return [f'{text} at n = {size:,} in {times} of {seeds[size]} seeds' for (text, size), times in found.items()]


def _edge(rate: float, tried: Sequence[float]) -> str:
    return 'least' if rate == min(tried) else 'greatest' if rate == max(tried) else ''
