"""Orbax checkpoints, one folder a step, each with a manifest; damage is noticed and walked back from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from jaxshift.devices import process
from jaxshift.store import jsonl, manifest

METRICS = 'metrics.jsonl'


def save(
    folder: Path, step: int, trees: dict[str, dict], settings: dict[str, Any] | None = None, rows: Iterable[dict] = ()
) -> Path:
    """Writes `folder/step/<name>` for every tree, whole or not at all, and returns the folder of the step.

    Every process of a run calls it and writes its own shards.

    Args:
      folder: of all steps.
      step: number of steps done.
      trees: of arrays.
      settings: what the trees were trained with.
      rows: the metrics up to this step.
    """
    final = folder.resolve() / str(step)
    partial = final.with_name(f'{step}.partial')

    def begin() -> None:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)

    def finish() -> None:
        jsonl.write(partial / METRICS, rows)
        manifest.write(partial, step=step, settings=settings)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)

    process.by_leader(f'begin checkpoint {step}', begin)
    with ocp.StandardCheckpointer() as checkpointer:
        for name, tree in trees.items():
            checkpointer.save(partial / name, tree)
    process.together(f'checkpoint {step}')
    process.by_leader(f'finish checkpoint {step}', finish)
    return final


def restore(step_folder: Path, name: str, like):
    """One tree of a step, into the shapes and shardings of `like` (a tree of `jax.ShapeDtypeStruct`)."""
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(step_folder.resolve() / name, like)


def settings(step_folder: Path) -> dict[str, Any]:
    """What a step was trained with, as JSON has it."""
    return json.loads((step_folder / manifest.NAME).read_text(encoding='utf-8')).get('settings') or {}


def rows(step_folder: Path) -> list[dict[str, Any]]:
    """The metrics up to a step."""
    return jsonl.read(step_folder / METRICS)


def steps(folder: Path) -> list[int]:
    """The steps that a folder holds, in order; one without a manifest was not made by `save`."""
    return [step for step in _numbered(folder) if (folder / str(step) / manifest.NAME).is_file()]


def newest(folder: Path) -> tuple[int | None, list[str]]:
    """The newest step whose files match its manifest, and a line for every newer one that was passed over."""
    passed: list[str] = []
    for step in reversed(_numbered(folder)):
        wrong = manifest.fault(folder / str(step))
        if wrong is None:
            return step, passed
        passed.append(f'{folder / str(step)}: {wrong}; passed over')
    return None, passed


def remove(folder: Path, step: int) -> None:
    """Deletes a step."""
    shutil.rmtree(folder / str(step))


def remove_unfinished(folder: Path) -> None:
    """Deletes what a process that was killed while it saved has left."""
    for path in folder.glob('*.partial/'):
        shutil.rmtree(path)


def _numbered(folder: Path) -> list[int]:
    """What could be a step by its name, in order."""
    return sorted(int(path.name) for path in folder.glob('*/') if path.name.isdecimal())
