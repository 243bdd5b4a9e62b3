"""Whether the devices that are here can hold what a run begins with, asked before weights are fetched or read."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax.sharding import Mesh

from jaxshift.config import Experiment
from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.devices.chips import GIB, chip
from jaxshift.errors import Absent, InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.plan import shape, steps
from jaxshift.tune.step import recipe

# Modes that hold parameters of the base.
COMPUTING = ('run', 'train', 'respond', 'sweep', 'causes', 'evaluate', 'export', 'verify_export', 'advise')


def check(experiment: Experiment, only: Sequence[str], mode: str) -> None:
    """Refuses runs whose parameters alone are more than the memory of the devices.

    Only where the shape is known from a name or a config.json: other bases are files that are here already.

    Raises:
      Absent: says how much they need, and what the devices have.
    """
    if mode not in COMPUTING or experiment.base.source.partition(':')[0] not in ('hf', 'dir'):
        return
    try:
        config = shape.of_base(experiment)
    except InputError:  # said where the base is opened, with what to do about it
        return
    mesh = meshes.make(experiment.mesh)
    here = chip(list(mesh.devices.flat))
    for name in only:
        needed = needed_bytes(experiment, name, mode in ('run', 'train'), config, mesh)
        if mode in ('run', 'causes'):
            needed = max(needed, analysed_bytes(experiment, name, config, mesh))
        if needed > here.memory:
            raise Absent(
                f'run {name} on {experiment.base.source} needs {needed / GIB:.1f} GiB a device before it begins, '
                f'and {mesh.size} {mesh.devices.flat[0].device_kind} have {here.memory / GIB:.1f} GiB each; '
                'start it where there are more or larger devices, and set config.mesh.data=1 config.mesh.fsdp=-1 to '
                'cut the weights over all of them'
            )


def needed_bytes(experiment: Experiment, name: str, trains: bool, config: LlamaConfig, mesh: Mesh) -> int:
    """Bytes on one device of what a run holds before it begins: parameters and, where it trains, optimizer state."""
    run, base = experiment.runs[name], steps.device_bytes(steps.base(experiment, config, mesh))
    if not trains or run.method == 'given':
        return base
    trained = steps.device_bytes(steps.trained(recipe(run, config, experiment.base.dtype), mesh))
    return trained + base if run.method == 'lora' else trained


def analysed_bytes(experiment: Experiment, name: str, config: LlamaConfig, mesh: Mesh) -> int:
    """Bytes on one device of the parameters that the greatest analysis of a run's causes holds at once.

    A low-rank run is next to nothing beside its base, and so may a given one be; of any other run both models are held,
    by some analyses in float32, as they were trained (`tuning.both`).
    """
    asked, base = set(experiment.causes.analyses), steps.device_bytes(steps.base(experiment, config, mesh))
    if experiment.runs[name].method in ('lora', 'given'):
        return base
    both = 2 * steps.device_bytes(sharding.abstract(mesh, model.shapes(config, jnp.dtype('float32'))))
    if 'interpolation' in asked:  # a model between them too, and the base that it is compared with
        return both + (base if experiment.base.dtype == 'float32' else 2 * base)
    if 'weights' in asked:
        return both
    return 2 * base if asked & {'swaps', 'forgetting', 'dynamics'} else base
