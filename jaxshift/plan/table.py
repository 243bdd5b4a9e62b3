"""A plan as a table for people, and as one object for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jax.sharding import Mesh

from jaxshift.config import Experiment
from jaxshift.devices.chips import GIB, Chip
from jaxshift.lines import aligned
from jaxshift.llama.config import LlamaConfig
from jaxshift.plan.compiling import Compiled

if TYPE_CHECKING:  # it calls this module
    from jaxshift.plan.plan import Plan

HEADINGS = ('run', 'step', 'of', 'arguments', 'temporaries', 'fits', 'TFLOP', 'at least', 'bound by', 'compiled in')


def text(
    experiment: Experiment, topology: str, config: LlamaConfig, mesh: Mesh, chip: Chip, plans: Mapping[str, Plan]
) -> str:
    """The plan of some runs, for people."""
    shape = ' '.join(f'{axis}={size}' for axis, size in mesh.shape.items())
    rates = 'peak rates not known, so no times'
    if chip.flops and chip.bandwidth:
        rates = f'{chip.flops / 1e12:,.0f} TFLOP/s in bfloat16 and {chip.bandwidth / 1e9:,.0f} GB/s of memory each'
    kind = mesh.devices.flat[0].device_kind
    rows = [row(name, each) for name, plan in plans.items() for each in plan.compiled]
    lines = [
        f'{experiment.base.source}: {config.parameters:,} parameters, {config.num_hidden_layers} layers',
        f'{topology}: {mesh.size} {kind}, mesh {shape}',
        f'{chip.memory / GIB:.2f} GiB each, {chip.source}; {rates}',
        '',
        *aligned([HEADINGS, *rows]),
        '',
        'Bytes are of one device, FLOP of all of them. Least times are by matrix products at the peak rate, those of',
        'rematerialisation too, and by what each device must read from its memory; communication comes on top.',
        'A program that stands in an earlier row too is not compiled again.',
    ]
    for name, plan in plans.items():
        lines += ['', *_lines(name, plan)]
    return '\n'.join(lines)


def row(name: str, each: Compiled) -> tuple[str, ...]:
    """A line below `HEADINGS`."""
    return (
        name,
        each.step.name,
        each.step.shape,
        size(each.arguments),
        '?' if each.temporaries is None else size(each.temporaries),
        'yes' if each.fits else 'NO',
        f'{each.step.flops / 1e12:,.2f}',
        '?' if each.seconds is None else seconds(each.seconds),
        each.bound or '?',
        f'{each.compile_seconds:.0f} s',
    )


def _lines(name: str, plan: Plan) -> list[str]:
    lines = []
    if plan.epoch and plan.trained is not None:
        epoch = plan.epoch
        lines.append(
            f'{name}: an epoch has {epoch.steps:,} steps, {epoch.tokens:,} tokens (from {epoch.source}); '
            f'{epoch.all_steps:,} steps in all'
        )
        training = plan.compiled[0]
        if training.seconds:
            lines[-1] += (
                f', at least {seconds(training.seconds * epoch.all_steps)}, '
                f'at most {training.step.tokens / training.seconds:,.0f} tokens/s'
            )
        lines.append(f'{name}: trains {plan.trained:,} parameters; a checkpoint has {size(plan.checkpoint)}')
    if plan.fits:
        lines.append(f'{name}: fits')
    elif plan.advice is None:
        lines.append(f'{name}: does not fit, and no other mesh, remat policy or form of the base that was tried does')
    else:
        lines.append(f'{name}: does not fit; with {flags(plan.advice)} it does')
    return lines


def flags(settings: Mapping[str, object]) -> str:
    """Settings as they are typed."""
    return ' '.join(f'--config.{key}={value}' for key, value in settings.items())


def size(count: int) -> str:
    """Bytes in words."""
    return f'{count / GIB:,.2f} GiB' if count >= GIB / 10 else f'{count / 2**20:,.2f} MiB'


def seconds(time: float) -> str:
    """Seconds in words."""
    if time >= 3600:
        return f'{time / 3600:,.1f} h'
    return f'{time:,.1f} s' if time >= 1 else f'{1000 * time:,.1f} ms'


def as_json(
    experiment: Experiment, topology: str, config: LlamaConfig, mesh: Mesh, chip: Chip, plans: Mapping[str, Plan]
) -> dict[str, Any]:
    """The same as one object: bytes, seconds and FLOPs as numbers, null where they are not known."""
    return {
        'name': experiment.name,
        'base': {'source': experiment.base.source, 'parameters': config.parameters},
        'topology': topology,
        'devices': {
            'count': mesh.size,
            'kind': mesh.devices.flat[0].device_kind,
            'memory_bytes': chip.memory,
            'memory_source': chip.source,
            'peak_flops': chip.flops,
            'peak_bytes_per_second': chip.bandwidth,
        },
        'mesh': dict(mesh.shape),
        'fits': all(plan.fits for plan in plans.values()),
        'runs': {name: _run_object(plan) for name, plan in plans.items()},
    }


def _run_object(plan: Plan) -> dict[str, Any]:
    epoch = plan.epoch
    return {
        'fits': plan.fits,
        'would_fit_with': plan.advice,
        'trained_parameters': plan.trained,
        'checkpoint_bytes': plan.checkpoint,
        'epoch': None if epoch is None else vars(epoch),
        'steps': {each.step.name: _step_object(each) for each in plan.compiled},
    }


def _step_object(each: Compiled) -> dict[str, Any]:
    return {
        'shape': each.step.shape,
        'fits': each.fits,
        'argument_bytes': each.arguments,
        'temporary_bytes': each.temporaries,
        'flops': each.step.flops,
        'recomputed_flops': each.step.repeated,
        'bytes_read': each.step.reads,
        'least_seconds': each.seconds,
        'bound_by': each.bound,
        'compile_seconds': each.compile_seconds,
    }
