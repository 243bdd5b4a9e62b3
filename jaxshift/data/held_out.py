"""Examples that are held out: no run trains on them, and all runs are evaluated on the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxshift.data.dataset import Dataset, Row


class Part(Dataset):
    """Some rows of a data set, seen as one; its counts are those of the whole."""

    def __init__(self, whole: Dataset, rows: Sequence[int]):
        self.counts, self.lengths = whole.counts, whole.lengths[np.asarray(rows, np.int64)]
        self._whole, self._rows = whole, rows

    def __getitem__(self, index: int) -> Row:
        return self._whole[self._rows[index]]


def split(dataset: Dataset) -> tuple[Part, Part]:
    """What is trained on, and what is held out (see `mixture.read`, which draws it)."""
    trained = len(dataset) - dataset.counts['held_out']
    return Part(dataset, range(trained)), Part(dataset, range(trained, len(dataset)))
