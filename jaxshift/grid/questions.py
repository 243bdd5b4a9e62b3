"""What is asked of pairs of runs: numbers over seeds, for each size of the data or from the smallest to the largest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxshift.grid.comparisons import asked_in
from jaxshift.grid.pairing import Pair, Pairs
from jaxshift.grid.spread import Spread, geometric, spread
from jaxshift.report.tables import Row

HOLDS, CONTRADICTED, UNCLEAR = 'holds', 'contradicted', 'unclear'
NO_ROOM = f'{UNCLEAR} (no room)'

# Of accuracy, or of the scale of scores: a gain below it is none. One question of fifty is too few to pay for eight
# times the data or for another method. It stands for what matters to a user and was not fitted to results or to their
# noise: where seeds cannot tell such a gain from none, the answer is unclear.
MARGIN = 0.02

Value = float | None


class Measured(NamedTuple):
    """A number of one pair, or of a small and a large one.

    Attributes:
      columns: what it is made of.
      value: the number.
      start: where it is a gain of a share: the share from which it is counted, above which it can rise to 1.
    """

    columns: tuple[str, ...]
    value: Callable[..., Value]
    start: Callable[..., Value] = lambda *_: None


class Asked(NamedTuple):
    """A number, and the cases whose numbers are averaged: (what they are about, arguments of the number)."""

    measured: Measured
    cases: Callable[[Pairs], Iterator[tuple[str, list[tuple[Pair, ...]]]]]


@dataclass(frozen=True)
class Question:
    """One quantity behind a finding.

    Attributes:
      text: what is measured.
      asked: gives its values.
      null: the value of no effect.
      expected: 1 where the paper expects it above `null`, -1 below, 0 where it expects no gain: less than `MARGIN`.
      ratio: values are ratios.
      scale: the least and the most that what is measured can be, of shares.
      instead_of: a column; the question is asked where nobody measured that one.
    """

    text: str
    asked: Asked
    null: float = 0.0
    expected: int = 1
    ratio: bool = False
    scale: tuple[float, float] = (0.0, 1.0)
    instead_of: str = ''

    def answers(self, pairs: Pairs) -> Iterator[tuple[str, Spread, str]]:
        """(what it is about, the mean with its interval, verdict) for each part that has values."""
        measured = self.asked.measured
        for about, cases in self.asked.cases(pairs):
            values = [measured.value(*case) for case in cases]
            counts = [asked_in([row for pair in case for row in pair], measured.columns[0]) for case in cases]
            found = geometric(values) if self.ratio else spread(values, counts)
            if found:
                start = spread([measured.start(*case) for case in cases])
                yield about, found, self.verdict(found, start.mean if start else 0.0)

    def verdict(self, found: Spread, start: float = 0.0) -> str:
        """Whether the whole interval lies where the paper expects it, or on the other side.

        `start`: mean of what gains are counted from. So near to the top of the scale that no gain of `MARGIN` could be,
        that there is none says nothing.
        """
        margin = MARGIN * (self.scale[1] - self.scale[0])
        if self.expected == 0 and self.scale[1] - start < margin:
            return NO_ROOM
        if found.low is None or found.high is None:
            return UNCLEAR
        above, below = found.low > self.null, found.high < self.null
        if self.expected == 0:
            below = found.high < self.null + margin
        wanted, other = (above, below) if self.expected > 0 else (below, above)
        return HOLDS if wanted else CONTRADICTED if other else UNCLEAR


def each_size(measured: Measured) -> Asked:
    """At every size."""

    def cases(pairs: Pairs) -> Iterator[tuple[str, list[tuple[Pair, ...]]]]:
        for size in _sizes(pairs):
            yield f'n = {size:,}', [(pair,) for (each, _), pair in pairs.items() if each == size]

    return Asked(measured, cases)


def ends(measured: Measured) -> Asked:
    """Of the pairs at the smallest and at the largest size, for each seed that has both."""

    def cases(pairs: Pairs) -> Iterator[tuple[str, list[tuple[Pair, ...]]]]:
        sizes = _sizes(pairs)
        if len(sizes) > 1:
            small, large = sizes[0], sizes[-1]
            both = [(pair, pairs.get((large, seed))) for (size, seed), pair in pairs.items() if size == small]
            yield f'n = {small:,} to {large:,}', [(one, other) for one, other in both if other]

    return Asked(measured, cases)


def _sizes(pairs: Pairs) -> Sequence[int]:
    return sorted({size for size, _ in pairs})


def of(side: str, column: str) -> Measured:
    """A column of one side, lora or full."""
    return Measured((column,), lambda pair: getattr(pair, side).get(column))


def over(column: str) -> Measured:
    """A column of full tuning over that of LoRA."""

    def value(pair: Pair) -> Value:
        lora, full = pair.lora.get(column), pair.full.get(column)
        return full / lora if lora and full is not None else None

    return Measured((column,), value)


def difference(column: str) -> Measured:
    """A column of full tuning less that of LoRA."""

    def value(pair: Pair) -> Value:
        return _less(pair.full, column, pair.lora, column)

    return Measured((column,), value, lambda pair: pair.lora.get(column))


def within(side: str, column: str, other: str) -> Measured:
    """A column less another one of the same run; `side` is lora or full."""

    def value(pair: Pair) -> Value:
        row = getattr(pair, side)
        return _less(row, column, row, other)

    return Measured((column, other), value)


def contrast(column: str, other: str) -> Measured:
    """How many times a column is another one, LoRA's number over that of full tuning."""

    def value(pair: Pair) -> Value:
        shares = [row[column] / row[other] if row.get(column) and row.get(other) else None for row in pair]
        return shares[0] / shares[1] if shares[0] and shares[1] else None

    return Measured((column, other), value)


def growth(side: str, column: str) -> Measured:
    """A column at the largest size less that at the smallest."""

    def value(small: Pair, large: Pair) -> Value:
        return _less(getattr(large, side), column, getattr(small, side), column)

    return Measured((column,), value, lambda small, _: getattr(small, side).get(column))


def growths(column: str) -> Measured:
    """How much more a column grows in full tuning than in LoRA."""

    def value(small: Pair, large: Pair) -> Value:
        full, lora = (growth(side, column).value(small, large) for side in ('full', 'lora'))
        return full - lora if full is not None and lora is not None else None

    return Measured((column,), value)


def across(column: str) -> Measured:
    """A column of LoRA on the smallest data less that of full tuning on the largest."""

    def value(small: Pair, large: Pair) -> Value:
        return _less(small.lora, column, large.full, column)

    return Measured((column,), value)


def _less(row: Row, column: str, other_row: Row, other: str) -> Value:
    one, two = row.get(column), other_row.get(other)
    return one - two if one is not None and two is not None else None
