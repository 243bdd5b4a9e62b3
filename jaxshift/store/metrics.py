"""Metrics of training: one JSON object a logged step, and the same in the trackers that were asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jaxshift.devices import process
from jaxshift.store import jsonl, trackers
from jaxshift.store.trackers import TENSORBOARD, Told

# The trackers' names are those of Hugging Face's trainers: train/NAME, but for these.
TAGS = {'eval_loss': 'eval/loss'}


class Metrics:
    """Writes `metrics.jsonl` of a run, and what goes to its trackers; on process 0 alone.

    Attributes:
      rows: what `metrics.jsonl` holds; checkpoints keep it, so that a damaged file can be written again.
    """

    def __init__(self, folder: Path, start: int, rows: Iterable[dict] = (), told: Told = TENSORBOARD):
        """Opens the files; `rows` are those of the first `start` steps, and the only ones that are kept.

        Raises:
          InputError: a tracker cannot be opened.
        """
        self.rows = list(rows)
        self._trackers: list[trackers.Tracker] = []
        self._path = folder / 'metrics.jsonl'
        if not process.leads():
            return
        self._trackers = trackers.opened(told, folder, start)
        jsonl.write(self._path, self.rows)

    def write(self, step: int, values: dict[str, float | None]) -> None:
        """Writes a row; None is null there, and left out of the trackers."""
        if not process.leads():
            return
        self.rows.append({'step': step, **values})
        with self._path.open('a', encoding='utf-8') as file:
            file.write(jsonl.line(self.rows[-1]))
        tagged = {TAGS.get(name, f'train/{name}'): value for name, value in values.items() if value is not None}
        for tracker in self._trackers:
            tracker.write(step, tagged)

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()
