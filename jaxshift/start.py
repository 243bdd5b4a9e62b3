"""Starts a study: compilation cache, stop signal, experiment.json and a banner, then the stages."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
from importlib import metadata
from pathlib import Path

import jax

from jaxshift import stages
from jaxshift.config import Experiment
from jaxshift.devices import process
from jaxshift.errors import InputError
from jaxshift.plan import capacity
from jaxshift.store import paths
from jaxshift.study import Study
from jaxshift.terminal import say

PACKAGES = ('jaxshift', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'transformers', 'numpy')


def run(
    experiment: Experiment, folder: Path, mode: str, only: tuple[str, ...], argv: list[str], profile: bool = False
) -> None:
    """Runs one mode of a checked experiment in a workdir; `profile` traces a few steps of every training."""
    os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
    if 'xla_force_host_platform_device_count' in os.environ.get('XLA_FLAGS', ''):
        # Virtual devices that wait for each other hold threads; those of two cores would all be waiting, for ever.
        os.environ.setdefault('PJRT_NPROC', '64')
    workdir = paths.Workdir(folder)
    stop = process.StopSignal().install()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--workdir={folder}: cannot be made ({error.strerror}); name another folder') from error
    jax.config.update('jax_compilation_cache_dir', str(folder.resolve() / 'compiled'))
    record = describe(experiment, argv)
    before = workdir.experiment.read_text(encoding='utf-8') if workdir.experiment.is_file() else ''
    if process.leads():
        paths.write_json(workdir.experiment, record)
    devices = record['devices']
    say(f'{experiment.name}: {devices["count"]} {devices["kind"]}, runs {", ".join(only)}, workdir {folder}')
    try:
        capacity.check(experiment, only, mode)
        stages.run(Study(experiment, workdir, only, stop, say, profile), mode)
    except InputError:
        # A refused config must not be taken for the one that made what lies here.
        if before and process.leads():
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
        'devices': {'count': jax.device_count(), 'kind': kind, 'platform': platform},
    }
