"""Examples that are held out: no run trains on them, and all runs are evaluated on the same."""

from __future__ import annotations

from jaxshift.data.dataset import Dataset, Row


class Part(Dataset):
    """Some rows of a data set, seen as one; its counts are those of the whole."""

    def __init__(self, whole: Dataset, rows: range):
        self.counts, self.lengths = whole.counts, whole.lengths[rows.start : rows.stop]
        self._whole, self._rows = whole, rows

    def __getitem__(self, index: int) -> Row:
        return self._whole[self._rows[index]]


def split(dataset: Dataset) -> tuple[Part, Part]:
    """What is trained on, and what is held out (see `mixture.read`, which draws it)."""
    trained = len(dataset) - dataset.counts['held_out']
    return Part(dataset, range(trained)), Part(dataset, range(trained, len(dataset)))
