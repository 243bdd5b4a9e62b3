"""Examples that are held out: no run trains on them, and all runs are evaluated on the same."""

from __future__ import annotations

import numpy as np

from jaxshift.data.dataset import Dataset, Row
from jaxshift.errors import InputError


class Part(Dataset):
    """Some rows of a data set, seen as one; its counts are those of the whole."""

    def __init__(self, whole: Dataset, rows: np.ndarray):
        self.counts, self.lengths = whole.counts, whole.lengths[rows]
        self._whole, self._rows = whole, rows

    def __getitem__(self, index: int) -> Row:
        return self._whole[int(self._rows[index])]


def split(dataset: Dataset, held_out: int) -> tuple[Part, Part]:
    """What is trained on, and the last `held_out` examples of an order that is the same for every run and seed.

    A text that is cut into several rows is one example: all of its rows are trained on, or none.

    Raises:
      InputError: no example would be left to train on.
    """
    examples = int(dataset.documents[-1]) + 1
    if held_out >= examples:
        raise InputError(f'config.data.held_out is {held_out} of {examples} examples; none is left to train on')
    order = np.random.default_rng(0).permutation(examples)
    apart = np.isin(dataset.documents, order[examples - held_out :])
    return Part(dataset, np.flatnonzero(~apart)), Part(dataset, np.flatnonzero(apart))
