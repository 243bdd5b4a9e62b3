"""Metrics of training: one JSON object a logged step, and the same in TensorBoard's format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jaxshift.devices import process
from jaxshift.store import jsonl

# TensorBoard's names are those of Hugging Face's trainers: train/NAME, but for these.
TAGS = {'eval_loss': 'eval/loss'}


class Metrics:
    """Writes `metrics.jsonl` and `tensorboard/` of a run; on process 0 alone.

    Attributes:
      rows: what `metrics.jsonl` holds; checkpoints keep it, so that a damaged file can be written again.
    """

    def __init__(self, folder: Path, start: int, rows: Iterable[dict] = ()):
        """Opens the files; `rows` are those of the first `start` steps, and the only ones that are kept."""
        self.rows = list(rows)
        self._writer = None
        if not process.leads():
            return
        from tensorboardX import SummaryWriter

        self._path = folder / 'metrics.jsonl'
        jsonl.write(self._path, self.rows)
        self._writer = SummaryWriter(str(folder / 'tensorboard'), purge_step=start + 1)

    def write(self, step: int, values: dict[str, float | None]) -> None:
        """Writes a row; None is null there, and left out of TensorBoard."""
        if self._writer is None:
            return
        self.rows.append({'step': step, **values})
        with self._path.open('a', encoding='utf-8') as file:
            file.write(jsonl.line(self.rows[-1]))
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(TAGS.get(name, f'train/{name}'), value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
