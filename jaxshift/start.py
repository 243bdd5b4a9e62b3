"""Starts a study: compilation cache, stop signal, experiment.json and a banner, then the stages."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from importlib import metadata
from pathlib import Path

import jax

from jaxshift import stages
from jaxshift.config import Experiment
from jaxshift.devices import cluster, process
from jaxshift.errors import InputError
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
    os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
    if 'xla_force_host_platform_device_count' in os.environ.get('XLA_FLAGS', ''):
        # Virtual devices that wait for each other hold threads; those of two cores would all be waiting, for ever.
        os.environ.setdefault('PJRT_NPROC', '64')
    cluster.join(experiment.process)
    stop = process.StopSignal().install()
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            _run(experiment, folder, mode, only, argv, stop, profile)
        if as_json and process.leads():
            say(paths.Workdir(folder).advice.read_text(encoding='utf-8').rstrip())
    except BaseException as error:
        process.failed(error)
        raise


def _run(
    experiment: Experiment, folder: Path, mode: str, only: tuple[str, ...], argv: list[str],
    stop: process.StopSignal, profile: bool,
) -> None:  # fmt: skip
    workdir = paths.Workdir(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--workdir={folder}: cannot be made ({error.strerror}); name another folder') from error
    jax.config.update('jax_compilation_cache_dir', str(folder.resolve() / 'compiled'))
    record = describe(experiment, argv)
    told = {'config': record['config'] | {'process': None}, 'versions': record['versions'], 'mode': mode, 'only': only}
    ledger.check_same('start', told)
    # The leader alone looks before it writes: a shared file system may remember for a while that a file was not there.
    before = workdir.experiment.read_text(encoding='utf-8') if process.leads() and workdir.experiment.is_file() else ''
    process.by_leader('experiment', lambda: paths.write_json(workdir.experiment, record))
    if not workdir.experiment.is_file():
        raise InputError(f'--workdir={folder}: process 0 writes to another; name a folder that all processes share')
    devices = record['devices']
    among = f' in {devices["processes"]} processes' if devices['processes'] > 1 else ''
    say(f'{experiment.name}: {devices["count"]} {devices["kind"]}{among}, runs {", ".join(only)}, workdir {folder}')
    study = Study(experiment, workdir, only, stop, say, profile)
    try:
        capacity.check(experiment, only, mode)
        with jax.set_mesh(study.mesh) if stages.computes(study, mode) else nullcontext():
            stages.run(study, mode)
    except InputError:
        # A refused config must not be taken for the one that made what lies here.
        if before:
            paths.write_text(workdir.experiment, before)
        raise


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
