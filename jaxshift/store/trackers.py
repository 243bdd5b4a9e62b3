"""Where metrics go beside metrics.jsonl: TensorBoard's event files, and Weights & Biases."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jaxshift.errors import InputError
from jaxshift.store import paths


@dataclass(frozen=True)
class Told:
    """What trackers are told of a run.

    Attributes:
      names: of the trackers, `tensorboard` and `wandb`.
      study: title of the experiment.
      run: name of the run.
      settings: what the run depends on.
    """

    names: tuple[str, ...] = ('tensorboard',)
    study: str = 'jaxshift'
    run: str = 'run'
    settings: Mapping[str, Any] = field(default_factory=dict)


TENSORBOARD = Told()


class Tracker(Protocol):
    """Takes scalars by name, such as train/loss, at a step."""

    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


def opened(told: Told, folder: Path, start: int) -> list[Tracker]:
    """The trackers that were asked for.

    Args:
      told: which, and about what.
      folder: of the run; takes tensorboard/ and wandb/.
      start: steps done: what was written of later ones counts no more.

    Raises:
      InputError: wandb is not installed, or cannot be reached; says what to do.
    """
    return [_KINDS[name](told, folder, start) for name in dict.fromkeys(told.names)]


class TensorBoard:
    """Event files in tensorboard/."""

    def __init__(self, told: Told, folder: Path, start: int):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / 'tensorboard'), purge_step=start + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class Wandb:
    """A run of Weights & Biases, its files in wandb/; WANDB_MODE, WANDB_ENTITY and the like are heeded.

    wandb/run_id names it. A run that goes on is resumed by that id: its steps that were written before are not taken
    again, and are the same. One that begins anew gets another id.
    """

    def __init__(self, told: Told, folder: Path, start: int):
        try:
            import wandb
        except ImportError:
            raise InputError("config.trackers names wandb, which is absent; pip install 'jaxshift[wandb]'") from None
        place = folder / 'wandb' / 'run_id'
        if not (start and place.is_file()):
            paths.write_text(place, secrets.token_hex(8))
        try:
            self._run = wandb.init(
                project=_project(told.study), name=told.run, id=place.read_text().strip(), resume='allow',
                dir=str(folder), config=dict(told.settings), settings=wandb.Settings(silent=True, console='off'),
            )  # fmt: skip
        except wandb.Error as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise InputError(
                f'config.trackers names wandb, which cannot begin ({reason}); log in by WANDB_API_KEY, or set '
                'WANDB_MODE=offline and send wandb/offline-run-* later by wandb sync'
            ) from error

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def _project(title: str) -> str:
    """A title as a name that W&B takes."""
    return ''.join(letter if letter.isalnum() else '-' for letter in title)[:128]


_KINDS: dict[str, Callable[[Told, Path, int], Tracker]] = {'tensorboard': TensorBoard, 'wandb': Wandb}
