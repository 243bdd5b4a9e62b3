"""Starts a study: compilation cache, stop signal, experiment.json and a banner, then the stages."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from importlib import metadata
from pathlib import Path

import jax

from jaxshift import stages
from jaxshift.cells import Cell, experiments
from jaxshift.config import Experiment
from jaxshift.devices import cluster, process
from jaxshift.errors import Absent, InputError, RunFailed
from jaxshift.grid import page as grid
from jaxshift.plan import capacity
from jaxshift.store import ledger, paths
from jaxshift.study import Study
from jaxshift.terminal import say

PACKAGES = ('jaxshift', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'transformers', 'numpy')


def run(
    experiment: Experiment,
    folder: Path,
    mode: str,
    only: tuple[str, ...],
    argv: list[str],
    profile: bool = False,
    as_json: bool = False,
) -> None:
    """Runs one mode of a checked experiment in a workdir.

    Args:
      experiment, folder, mode, only, argv: what to do, where, and on which runs.
      profile: trace a few steps of every training.
      as_json: of mode advise: print its JSON alone; what it says on the way goes to stderr.
    """
    with _started(experiment) as stop, redirect_stdout(sys.stderr) if as_json else nullcontext():
        _run(experiment, folder, mode, only, argv, stop, profile)
    if as_json and process.leads():
        say(paths.Workdir(folder).advice.read_text(encoding='utf-8').rstrip())


def run_grid(
    common: Experiment, cells: Mapping[str, Cell], only: Sequence[str], folder: Path, mode: str, argv: list[str],
    profile: bool = False,
) -> None:  # fmt: skip
    """Runs one mode in the workdir of each cell of a grid, FOLDER/cells/NAME, then sums up all that are there.

    Args:
      common: what the cells have in common.
      cells: all of them.
      only: names of those to work on; empty: all, of whose own pages mode report makes none.
      folder: of the grid.
      mode: what to do; run leaves out the pages of the cells.
      argv: the command line.
      profile: as in `run`.

    Raises:
      RunFailed, InputError: of some cells, after all others were worked on; InputError where no cell failed otherwise.
    """
    folders = {name: folder / 'cells' / name for name in cells}
    chosen = [] if mode == 'report' and not only else list(only or cells)
    asked = experiments(common, {name: cells[name] for name in chosen})
    failures: dict[str, Exception] = {}
    with _started(common) as stop:
        _make(folder)
        record = describe(common, argv) | {'cells': {name: dataclasses.asdict(cell) for name, cell in cells.items()}}
        process.by_leader('grid', lambda: paths.write_json(paths.Workdir(folder).experiment, record))
        for name, experiment in asked.items():
            others = tuple(path for path in folders.values() if path != folders[name])
            try:
                runs = tuple(experiment.runs)
                _run(experiment, folders[name], mode, runs, argv, stop, profile, folder, others, ('report',))
            except (RunFailed, InputError, jax.errors.JaxRuntimeError) as error:  # the last: out of memory, say
                failures[name] = error
                say(f'cell {name} failed: {error}')
        if mode in ('run', 'report') and not (failures and len(failures) == len(asked)):
            process.by_leader('grid report', lambda: str(grid.write(common, cells, folder, stop, say)))
    if failures:
        kinds = (Absent, InputError, Exception)
        kind = next(each for each in kinds if all(isinstance(error, each) for error in failures.values()))
        told = '; '.join(f'{name}: {str(error).splitlines()[0]}' for name, error in failures.items())
        raise (RunFailed if kind is Exception else kind)(f'{len(failures)} of {len(asked)} cells: {told}')


@contextmanager
def _started(experiment: Experiment) -> Iterator[process.StopSignal]:
    """Joins the other processes, and listens to signals."""
    os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
    if 'xla_force_host_platform_device_count' in os.environ.get('XLA_FLAGS', ''):
        # Virtual devices that wait for each other hold threads; those of two cores would all be waiting, for ever.
        os.environ.setdefault('PJRT_NPROC', '64')
    cluster.join(experiment.process)
    stop = process.StopSignal().install()
    try:
        yield stop
    except BaseException as error:
        process.failed(error)
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--workdir={folder}: cannot be made ({error.strerror}); name another folder') from error


def _run(
    experiment: Experiment, folder: Path, mode: str, only: tuple[str, ...], argv: list[str], stop: process.StopSignal,
    profile: bool, grid_folder: Path | None = None, others: tuple[Path, ...] = (), left_out: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """The same for a study of its own, or for a cell of a grid.

    What was compiled lies in the grid's folder; a base may come from the workdirs `others`; mode run passes over the
    stages `left_out`.
    """
    workdir = paths.Workdir(folder)
    _make(folder)
    jax.config.update('jax_compilation_cache_dir', str((grid_folder or folder).resolve() / 'compiled'))
    record = describe(experiment, argv)
    told = {'config': record['config'] | {'process': None}, 'versions': record['versions'], 'mode': mode, 'only': only}
    ledger.check_same('start', told)
    # The leader alone looks before it writes: a shared file system may remember for a while that a file was not there.
    before = workdir.experiment.read_text(encoding='utf-8') if process.leads() and workdir.experiment.is_file() else ''
    process.by_leader('experiment', lambda: paths.write_json(workdir.experiment, record))
    devices = record['devices']
    among = f' in {devices["processes"]} processes' if devices['processes'] > 1 else ''
    say(f'{experiment.name}: {devices["count"]} {devices["kind"]}{among}, runs {", ".join(only)}, workdir {folder}')
    study = Study(experiment, workdir, only, stop, say, profile, others)
    try:
        # All must have looked before the leader goes on, which takes the file away where it refuses the config.
        if away := process.agree('workdir', workdir.experiment.is_file(), _absent):
            line = f'process {away[0]} does not find what process 0 writes; name a folder that all processes share'
            raise InputError(f'--workdir={folder}: {line}')
        computes = stages.computes(study, mode)
        if computes:
            capacity.check(experiment, only, mode)
        with jax.set_mesh(study.mesh) if computes else nullcontext():
            stages.run(study, mode, left_out)
    except InputError:
        # A refused config must not be taken for the one that made what lies here.
        if before:
            paths.write_text(workdir.experiment, before)
        elif process.leads() and not any(folder.glob('done/*.json')):
            workdir.experiment.unlink()
        raise


def _absent(found: list[bool]) -> list[int]:
    """The processes that have not found it."""
    return [index for index, there in enumerate(found) if not there]


def describe(experiment: Experiment, argv: list[str]) -> dict:
    """The content of experiment.json."""
    kind, platform = jax.devices()[0].device_kind, jax.default_backend()
    config = dataclasses.asdict(experiment)
    text = json.dumps(config, sort_keys=True)
    return {
        'config': config,
        'config_hash': hashlib.sha256(text.encode()).hexdigest()[:16],
        'command': shlex.join(argv),
        'versions': {name: metadata.version(name) for name in PACKAGES},
        'devices': {
            'count': jax.device_count(),
            'kind': kind,
            'platform': platform,
            'processes': jax.process_count(),
        },
    }
