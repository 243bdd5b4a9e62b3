"""Orbax checkpoints, one folder a step, each with a manifest; damage is noticed and walked back from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from jaxshift.devices import process
from jaxshift.store import manifest


def save(folder: Path, step: int, trees: dict[str, dict]) -> Path:
    """Writes `folder/step/<name>` for every tree, whole or not at all, and returns the folder of the step.

    Every process of a run calls it and writes its own shards.
    """
    final = folder.resolve() / str(step)
    partial = final.with_name(f'{step}.partial')
    if process.leads():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    _together('begin')
    with ocp.StandardCheckpointer() as checkpointer:
        for name, tree in trees.items():
            checkpointer.save(partial / name, tree)
    _together('written')
    if process.leads():
        manifest.write(partial, step=step)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
    _together('final')
    return final


def restore(step_folder: Path, name: str, like):
    """One tree of a step, into the shapes and shardings of `like` (a tree of `jax.ShapeDtypeStruct`)."""
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(step_folder.resolve() / name, like)


def steps(folder: Path) -> list[int]:
    """The steps that a folder claims to hold, in order."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal())


def newest(folder: Path) -> tuple[int | None, list[str]]:
    """The newest step whose files match its manifest, and a line for every newer one that was passed over."""
    passed: list[str] = []
    for step in reversed(steps(folder)):
        wrong = manifest.fault(folder / str(step))
        if wrong is None:
            return step, passed
        passed.append(f'{folder / str(step)}: {wrong}; passed over')
    return None, passed


def remove(folder: Path, step: int) -> None:
    """Deletes a step."""
    shutil.rmtree(folder / str(step))


def _together(where: str) -> None:
    """Waits for the other processes of the run."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(f'checkpoint {where}')
