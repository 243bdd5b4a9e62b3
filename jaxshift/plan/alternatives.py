"""Settings that may fit where those of the config do not, the nearest first."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from jax.sharding import Mesh

from jaxshift.config import Experiment
from jaxshift.devices import mesh as meshes
from jaxshift.llama.config import LlamaConfig

Settings = dict[str, object]  # key of the config below `config.`, and its value


def of(experiment: Experiment, name: str, config: LlamaConfig, mesh: Mesh) -> Iterator[tuple[Settings, Experiment]]:
    """Each alternative for a run: what is set otherwise, and the experiment that has it.

    First what changes no result (rematerialisation, rows computed together), then the mesh, then the optimizer or the
    form in which the base is kept.
    """
    seen: list[Settings] = [{}]
    for settings in _ordered(experiment, name, config, mesh):
        changed = {key: value for key, value in settings.items() if _get(experiment, key) != value}
        if changed not in seen:
            seen.append(changed)
            yield changed, with_settings(experiment, changed)


def _ordered(experiment: Experiment, name: str, config: LlamaConfig, mesh: Mesh) -> Iterator[Settings]:
    run, key = experiment.runs[name], f'runs.{name}'
    careful: Settings = {f'{key}.remat': 'nothing_saveable'}
    yield careful
    shards = meshes.row_shards(mesh)
    careful |= {'respond.batch_size': min(shards, experiment.respond.batch_size), 'sweep.batch_size': 1}
    yield careful | {f'{key}.micro_batch_size': shards}
    layouts: list[Settings] = []
    for tensor in (1, 2, 4, 8):
        fsdp = mesh.size // tensor
        if not (mesh.size % tensor or config.num_key_value_heads % tensor or run.batch_size % fsdp):
            layout: Settings = {'mesh.data': 1, 'mesh.fsdp': fsdp, 'mesh.tensor': tensor, 'mesh.sequence': 1}
            layouts.append(careful | layout | {f'{key}.micro_batch_size': fsdp})
    yield from layouts
    if run.method in ('full', 'pretrain'):
        yield from (layout | {f'{key}.optimizer': 'adafactor'} for layout in layouts)
    elif hasattr(experiment.base, 'quantize'):
        yield from (layout | {'base.quantize': form} for form in ('int8', 'nf4') for layout in layouts)


def with_settings(experiment: Experiment, settings: Settings) -> Experiment:
    """A copy with other values of some keys."""
    changed = copy.deepcopy(experiment)
    for key, value in settings.items():
        *sections, field = key.split('.')
        setattr(_section(changed, sections), field, value)
    return changed


def _get(experiment: Experiment, key: str):
    *sections, field = key.split('.')
    return getattr(_section(experiment, sections), field)


def _section(part, names: list[str]):
    for name in names:
        part = part[name] if isinstance(part, dict) else getattr(part, name)
    return part
