"""What is asked of pairs of runs: numbers over seeds, for each size of the data or from the smallest to the largest.

A question takes the pairs by size and seed, and gives (what it is about, a value a seed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxshift.grid.comparisons import Pair, Pairs
from jaxshift.grid.spread import Spread, geometric, spread
from jaxshift.report.tables import Row

HOLDS, CONTRADICTED, UNCLEAR = 'holds', 'contradicted', 'unclear'

MARGIN = 0.05  # of accuracy: a gain below it is none

Value = float | None
Asked = Callable[[Pairs], Iterator[tuple[str, list[Value]]]]


@dataclass(frozen=True)
class Question:
    """One quantity behind a finding.

    Attributes:
      text: what is measured.
      asked: gives its values.
      null: the value of no effect.
      expected: 1 where the paper expects it above `null`, -1 below, 0 where it expects no gain: less than `MARGIN`.
      ratio: values are ratios.
    """

    text: str
    asked: Asked
    null: float = 0.0
    expected: int = 1
    ratio: bool = False

    def answers(self, pairs: Pairs) -> Iterator[tuple[str, Spread, str]]:
        """(what it is about, the mean with its interval, verdict) for each part that has values."""
        for about, values in self.asked(pairs):
            found = (geometric if self.ratio else spread)(values)
            if found:
                yield about, found, self.verdict(found)

    def verdict(self, found: Spread) -> str:
        """Whether the whole interval lies where the paper expects it, or on the other side."""
        if found.low is None or found.high is None:
            return UNCLEAR
        above, below = found.low > self.null, found.high < self.null
        if self.expected == 0:
            below = found.high < self.null + MARGIN
        wanted, other = (above, below) if self.expected > 0 else (below, above)
        return HOLDS if wanted else CONTRADICTED if other else UNCLEAR


def each_size(value: Callable[[Pair], Value]) -> Asked:
    """At every size."""

    def asked(pairs: Pairs) -> Iterator[tuple[str, list[Value]]]:
        for size in _sizes(pairs):
            yield f'n = {size:,}', [value(pair) for (each, _), pair in pairs.items() if each == size]

    return asked


def ends(value: Callable[[Pair, Pair], Value]) -> Asked:
    """Of the pairs at the smallest and at the largest size, for each seed that has both."""

    def asked(pairs: Pairs) -> Iterator[tuple[str, list[Value]]]:
        sizes = _sizes(pairs)
        if len(sizes) > 1:
            small, large = sizes[0], sizes[-1]
            both = [(pair, pairs.get((large, seed))) for (size, seed), pair in pairs.items() if size == small]
            yield f'n = {small:,} to {large:,}', [value(one, other) for one, other in both if other]

    return asked


def _sizes(pairs: Pairs) -> Sequence[int]:
    return sorted({size for size, _ in pairs})


def over(column: str) -> Callable[[Pair], Value]:
    """A column of full tuning over that of LoRA."""

    def value(pair: Pair) -> Value:
        lora, full = pair.lora.get(column), pair.full.get(column)
        return full / lora if lora and full is not None else None

    return value


def difference(column: str) -> Callable[[Pair], Value]:
    """A column of full tuning less that of LoRA."""

    def value(pair: Pair) -> Value:
        return _less(pair.full, column, pair.lora, column)

    return value


def within(side: str, column: str, other: str) -> Callable[[Pair], Value]:
    """A column less another one of the same run; `side` is lora or full."""

    def value(pair: Pair) -> Value:
        row = getattr(pair, side)
        return _less(row, column, row, other)

    return value


def contrast(column: str, other: str) -> Callable[[Pair], Value]:
    """How many times a column is another one, LoRA's number over that of full tuning."""

    def value(pair: Pair) -> Value:
        shares = [row[column] / row[other] if row.get(column) and row.get(other) else None for row in pair]
        return shares[0] / shares[1] if shares[0] and shares[1] else None

    return value


def growth(side: str, column: str) -> Callable[[Pair, Pair], Value]:
    """A column at the largest size less that at the smallest."""

    def value(small: Pair, large: Pair) -> Value:
        return _less(getattr(large, side), column, getattr(small, side), column)

    return value


def growths(column: str) -> Callable[[Pair, Pair], Value]:
    """How much more a column grows in full tuning than in LoRA."""

    def value(small: Pair, large: Pair) -> Value:
        full, lora = (growth(side, column)(small, large) for side in ('full', 'lora'))
        return full - lora if full is not None and lora is not None else None

    return value


def across(column: str) -> Callable[[Pair, Pair], Value]:
    """A column of LoRA on the smallest data less that of full tuning on the largest."""

    def value(small: Pair, large: Pair) -> Value:
        return _less(small.lora, column, large.full, column)

    return value


def _less(row: Row, column: str, other_row: Row, other: str) -> Value:
    one, two = row.get(column), other_row.get(other)
    return one - two if one is not None and two is not None else None
