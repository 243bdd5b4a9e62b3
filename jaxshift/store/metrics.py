"""Metrics of training: one JSON object a logged step, and the same in TensorBoard's format."""

from __future__ import annotations

import json
from pathlib import Path

from jaxshift.devices import process
from jaxshift.store import paths


class Metrics:
    """Writes `metrics.jsonl` and `tensorboard/` of a run; on process 0 alone."""

    def __init__(self, folder: Path, start: int):
        """Opens the files; rows of steps after `start`, left by a run that was cut off, are dropped."""
        self._writer = None
        if not process.leads():
            return
        from tensorboardX import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / 'metrics.jsonl'
        kept = [row for row in read(self._path) if row['step'] <= start]
        paths.write_text(self._path, ''.join(json.dumps(row) + '\n' for row in kept))
        self._writer = SummaryWriter(str(folder / 'tensorboard'), purge_step=start + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        if self._writer is None:
            return
        with self._path.open('a', encoding='utf-8') as file:
            file.write(json.dumps({'step': step, **values}) + '\n')
        for name, value in values.items():
            self._writer.add_scalar(f'train/{name}', value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def read(path: Path) -> list[dict]:
    """The rows of a `metrics.jsonl`; a last line that was cut off is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding='utf-8').splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
