"""Whether the devices that are here can hold what a run begins with, asked before weights are fetched or read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
from jax.sharding import Mesh

from jaxshift.config import Experiment, Run
from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.devices.chips import GIB, chip
from jaxshift.errors import Absent, InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.plan import shape, steps
from jaxshift.tune.step import recipe
from jaxshift.weights import peft

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
        needed = needed_bytes(experiment, name, mode, config, mesh)
        if needed > here.memory:
            raise Absent(
                f'run {name} on {experiment.base.source} needs {needed / GIB:.1f} GiB a device before it begins, '
                f'and {mesh.size} {mesh.devices.flat[0].device_kind} have {here.memory / GIB:.1f} GiB each; '
                'start it where there are more or larger devices, and set config.mesh.data=1 config.mesh.fsdp=-1 to '
                'cut the weights over all of them'
            )


def needed_bytes(experiment: Experiment, name: str, mode: str, config: LlamaConfig, mesh: Mesh) -> int:
    """The most bytes on one device that a run holds at once, of parameters and of the optimizer's state alone.

    Steps take activations, and training gradients, on top.
    """
    run, base = experiment.runs[name], steps.device_bytes(steps.base(experiment, config, mesh))
    needed = [base]
    if mode in ('run', 'train') and run.method != 'given':
        trained = steps.device_bytes(steps.trained(recipe(run, config, experiment.base.dtype), mesh))
        needed.append(trained + base if run.method == 'lora' else trained)
    if mode in ('run', 'sweep') and _is_whole(run):
        needed.append(2 * base)  # both models are compared (`comparing.compare`)
    if mode in ('run', 'causes'):
        needed.append(analysed_bytes(experiment, name, config, mesh))
    return max(needed)


def _is_whole(run: Run) -> bool:
    """Whether a run is a model beside the base, not low-rank terms; a given one that is not here may be either."""
    kind, _, path = run.source.partition(':')
    folder = Path(path).expanduser()
    of_given = kind in ('gguf', 'package') or (kind == 'dir' and folder.is_dir() and not peft.is_adapter(folder))
    return of_given if run.method == 'given' else run.method != 'lora'


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
