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
from jaxshift.store import paths
from jaxshift.study import Study
from jaxshift.terminal import say

PACKAGES = ('jaxshift', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'transformers', 'numpy')


def run(experiment: Experiment, folder: Path, mode: str, only: tuple[str, ...], argv: list[str]) -> None:
    """Runs one mode of a checked experiment in a workdir."""
    os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
    workdir = paths.Workdir(folder)
    stop = process.StopSignal().install()
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update('jax_compilation_cache_dir', str(folder.resolve() / 'compiled'))
    record = describe(experiment, argv)
    if process.leads():
        paths.write_json(workdir.experiment, record)
    devices = record['devices']
    say(f'{experiment.name}: {devices["count"]} {devices["kind"]}, runs {", ".join(only)}, workdir {folder}')
    stages.run(Study(experiment, workdir, only, stop, say), mode)


def describe(experiment: Experiment, argv: list[str]) -> dict:
    """The content of experiment.json."""
    config = dataclasses.asdict(experiment)
    text = json.dumps(config, sort_keys=True)
    return {
        'config': config,
        'config_hash': hashlib.sha256(text.encode()).hexdigest()[:16],
        'command': shlex.join(argv),
        'versions': {name: metadata.version(name) for name in PACKAGES},
        'devices': {'count': jax.device_count(), 'kind': jax.devices()[0].device_kind, 'platform': jax.default_backend()},
    }
