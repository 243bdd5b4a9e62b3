"""Settings that may fit where those of the config do not, the nearest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jax.sharding import Mesh

from jaxshift import settings
from jaxshift.config import Experiment
from jaxshift.devices import mesh as meshes
from jaxshift.llama.config import LlamaConfig
from jaxshift.settings import Settings


def of(
    experiment: Experiment, name: str, config: LlamaConfig, mesh: Mesh, refused: Sequence[str]
) -> Iterator[tuple[Settings, Experiment]]:
    """Each alternative for a run: what is set otherwise, and the experiment that has it.

    First what changes no result (rematerialisation, rows computed together), then the mesh, then the optimizer or the
    form in which the base is kept.

    Args:
      experiment: what does not fit.
      name: of the run.
      config: shape of the base.
      mesh: of the experiment.
      refused: names of the steps that do not fit.
    """
    seen: list[Settings] = [{}]
    for asked in _ordered(experiment, name, config, mesh, refused):
        new = {key: value for key, value in asked.items() if _value(experiment, key, mesh) != value}
        if new not in seen:
            seen.append(new)
            yield new, settings.changed(experiment, new)


def _ordered(
    experiment: Experiment, name: str, config: LlamaConfig, mesh: Mesh, refused: Sequence[str]
) -> Iterator[Settings]:
    run, key, shards = experiment.runs[name], f'runs.{name}', meshes.row_shards(mesh)
    slices = experiment.mesh.dcn  # parameters are cut within a slice alone
    careful: Settings = {}
    if 'train' in refused:
        careful |= {f'{key}.remat': 'nothing_saveable'}
        yield careful
        yield careful | {f'{key}.micro_batch_size': shards}
    if {'prefill', 'decode'} & set(refused):
        careful |= {'respond.batch_size': min(shards, experiment.respond.batch_size)}
    if 'sweep' in refused:
        careful |= {'sweep.batch_size': min(shards, experiment.sweep.batch_size)}
    yield careful
    layouts: list[Settings] = []
    for tensor in (1, 2, 4, 8):
        fsdp, left = divmod(mesh.size, slices * tensor)
        if not (left or config.num_key_value_heads % tensor or run.batch_size % (slices * fsdp)):
            layout: Settings = {'mesh.data': slices, 'mesh.fsdp': fsdp, 'mesh.tensor': tensor, 'mesh.sequence': 1}
            layouts.append(careful | layout | {f'{key}.micro_batch_size': slices * fsdp})
    yield from layouts
    if run.method in ('full', 'pretrain'):
        yield from (layout | {f'{key}.optimizer': 'adafactor'} for layout in layouts)
    else:
        yield from (layout | {'base.quantize': form} for form in ('int8', 'nf4') for layout in layouts)


def _value(experiment: Experiment, key: str, mesh: Mesh):
    """The value of a key; an axis of the mesh as it was laid out."""
    *sections, field = key.split('.')
    return mesh.shape[field] if sections == ['mesh'] else settings.value(experiment, key)
