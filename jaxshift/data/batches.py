"""Which example goes into which row of which step, and the batches themselves.

A batch is a function of the step: plans are pure functions of lengths, seed and epoch, so steps are known before
training, a restart begins anywhere, and any number of processes sees the same global batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import grain
import numpy as np

from jaxshift.data.dataset import Dataset
from jaxshift.errors import InputError

OPEN_ROWS = 64  # rows that packing may still add to; bounds the work for each example
SHORTEST_ROW = 32  # tokens

Row = tuple[int, ...]  # indices of the examples that stand in a row, in order
Batch = dict[str, np.ndarray]


def plan_packs(lengths: np.ndarray, seed: int, epoch: int, max_length: int, pack: bool) -> tuple[Row, ...]:
    """The rows of one epoch: each example once, in an order drawn from (seed, epoch).

    Args:
      lengths: int [N], tokens of each example, none above max_length.
      seed: and
      epoch: give the order.
      max_length: tokens of a row.
      pack: several whole examples in a row, each put into the first open row that has room; else one a row.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(lengths)).tolist()
    if not pack:
        return tuple((index,) for index in order)
    sizes = np.asarray(lengths).tolist()
    rows: list[list[int]] = []
    opened: list[int] = []  # numbers of the open rows
    room: list[int] = []  # tokens left in each of them
    for index in order:
        size = sizes[index]
        for place, left in enumerate(room):
            if size <= left:
                rows[opened[place]].append(index)
                room[place] = left - size
                break
        else:
            if len(opened) == OPEN_ROWS:
                fullest = room.index(min(room))
                del opened[fullest], room[fullest]
            opened.append(len(rows))
            room.append(max_length - size)
            rows.append([index])
    return tuple(map(tuple, rows))


class Schedule:
    """The rows of every step of a run; epochs follow each other without a gap.

    Attributes:
      steps: number of steps: ceil(rows / batch_size), within min_steps and max_steps.
      batch_size: rows of a step, over all processes; the last step may have empty ones.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        seed: int,
        epochs: float,
        batch_size: int,
        max_length: int,
        pack: bool,
        min_steps: int = 0,
        max_steps: int = 0,
    ):
        """Plans a run over examples of the given lengths (int [N], tokens).

        Args:
          lengths: of all examples.
          seed: of the order.
          epochs: passes over the data; may be a fraction.
          batch_size: rows a step.
          max_length: tokens of a packed row, and the most of any row.
          pack: several examples in a row.
          min_steps: go on with more epochs up to so many steps.
          max_steps: stop after so many; 0: no bound.

        Raises:
          InputError: there is no example or no step, or an example is longer than a row.
        """
        if not len(lengths) or epochs <= 0 or batch_size < 1:
            amounts = f'{len(lengths)} examples, epochs {epochs}, batch_size {batch_size}'
            raise InputError(f'no step to train: {amounts}; all must be above 0')
        longest = int(np.max(lengths))
        if longest > max_length:
            fix = f'run the data stage again with max_length {max_length}'
            raise InputError(f'an example has {longest} tokens, more than a row; {fix}')
        if 0 < max_steps < min_steps:
            raise InputError(f'max_steps {max_steps} is below min_steps {min_steps}; change one of them')
        self.batch_size = batch_size
        self._lengths, self._seed, self._max_length, self._pack = lengths, seed, max_length, pack
        self._plans: dict[int, tuple[Row, ...]] = {}
        self._starts = [0]  # number of rows before each epoch
        passes = Fraction(str(epochs))
        whole = math.floor(passes)
        bound = max_steps * batch_size or math.inf
        while len(self._starts) <= whole and self._starts[-1] < bound:
            self._add_epoch()
        self._rows = self._starts[-1]
        if self._rows < bound and passes > whole:
            self._rows += math.ceil(self._add_epoch() * (passes - whole))
        self._rows = int(min(max(self._rows, min_steps * batch_size), bound))
        while self._starts[-1] < self._rows:
            self._add_epoch()
        self.steps = -(-self._rows // batch_size)

    def rows(self, step: int) -> tuple[Row, ...]:
        """The rows of a step: batch_size tuples of example indices, empty ones at the end of the last step."""
        if not 0 <= step < self.steps:
            raise IndexError(f'step {step} of {self.steps}')
        rows: list[Row] = []
        at, end = step * self.batch_size, min((step + 1) * self.batch_size, self._rows)
        epoch = int(np.searchsorted(self._starts, at, side='right')) - 1
        while at < end:
            start, stop = self._starts[epoch], min(end, self._starts[epoch + 1])
            rows += self._plan(epoch)[at - start : stop - start]
            at, epoch = stop, epoch + 1
        return tuple(rows) + ((),) * (self.batch_size - len(rows))

    def lengths(self, step: int) -> np.ndarray:
        """Tokens of each example of a step: int [N]."""
        return self._lengths[[example for row in self.rows(step) for example in row]]

    def row_length(self, step: int) -> int:
        """Tokens of a step's rows: max_length if packed, else the longest row's, rounded up to one of few values.

        It is one number for all processes, and few numbers mean few compilations.
        """
        if self._pack:
            return self._max_length
        longest = max((int(self._lengths[index]) for row in self.rows(step) for index in row), default=0)
        return min(bucket(longest), self._max_length)

    def _add_epoch(self) -> int:
        size = len(self._plan(len(self._starts) - 1)) if self._pack else len(self._lengths)
        self._starts.append(self._starts[-1] + size)
        return size

    def _plan(self, epoch: int) -> tuple[Row, ...]:
        plan = self._plans.get(epoch)
        if plan is None:
            plan = plan_packs(self._lengths, self._seed, epoch, self._max_length, self._pack)
            # A batch touches two epochs at most. A new dict, because reading threads share the old one.
            self._plans = {**{old: rows for old, rows in self._plans.items() if old == epoch - 1}, epoch: plan}
        return plan


def bucket(length: int) -> int:
    """The least of 32, 64, 96, 128, 192, 256, 384, ... that is not below: few lengths mean few compilations."""
    size = SHORTEST_ROW
    while size < length:
        power = 1 << (size.bit_length() - 1)
        size = 2 * power if size == SHORTEST_ROW else size + power // 2
    return size


def batch(dataset: Dataset, schedule: Schedule, step: int, process_index: int = 0, process_count: int = 1) -> Batch:
    """One process's rows of a step.

    Returns:
      Arrays [batch_size / process_count, T]: `tokens` and `positions` int32 (positions count from 0 in each example),
      `segments` int32 (0 padding, else the number of the example in its row, from 1), `trained` bool (the token is a
      target of the loss; never the first of an example).

    Raises:
      InputError: batch_size cannot be divided by process_count.
    """
    if schedule.batch_size % process_count:
        raise InputError(
            f'batch_size {schedule.batch_size} cannot be shared by {process_count} processes; make it a multiple'
        )
    size = schedule.batch_size // process_count
    shape = size, schedule.row_length(step)
    arrays = {name: np.zeros(shape, np.int32) for name in ('tokens', 'positions', 'segments')}
    arrays['trained'] = np.zeros(shape, bool)
    for number, row in enumerate(schedule.rows(step)[process_index * size : (process_index + 1) * size]):
        start = 0
        for segment, index in enumerate(row, start=1):
            example = dataset[index]
            stop = start + len(example.tokens)
            arrays['tokens'][number, start:stop] = example.tokens
            arrays['positions'][number, start:stop] = np.arange(stop - start)
            arrays['segments'][number, start:stop] = segment
            arrays['trained'][number, start + 1 : stop] = example.trained[1:]
            start = stop
    return arrays


class _Steps:
    """The steps from one on, as a random access source for Grain."""

    def __init__(self, dataset: Dataset, schedule: Schedule, start_step: int, process_index: int, process_count: int):
        self._arguments = dataset, schedule
        self._start, self._process = start_step, (process_index, process_count)

    def __len__(self) -> int:
        return self._arguments[1].steps - self._start

    def __getitem__(self, index) -> tuple[int, Batch]:
        step = self._start + int(index)
        return step, batch(*self._arguments, step, *self._process)


def loader(
    dataset: Dataset, schedule: Schedule, start_step: int = 0, process_index: int = 0, process_count: int = 1
) -> Iterator[tuple[int, Batch]]:
    """Yields (step, `batch`) from start_step to the last step; a Grain thread reads ahead."""
    steps = _Steps(dataset, schedule, start_step, process_index, process_count)
    if not len(steps):
        return iter(())
    steps[0]  # what is wrong shows here, with its own message, not in a thread
    return iter(
        grain.MapDataset.source(steps).to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2))
    )
