"""The plan of a grid: its programs, and a line for each cell and run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jax.sharding import Mesh

from jaxshift.cells import Cell
from jaxshift.devices.chips import Chip
from jaxshift.lines import aligned
from jaxshift.plan import table
from jaxshift.plan.compiling import Compiled

if TYPE_CHECKING:  # it calls this module
    from jaxshift.plan.plan import Plan

Plans = Mapping[tuple[str, str], 'Plan']
HEADINGS = ('cell', 'run', 'examples', 'steps', 'at least', 'device-hours', 'checkpoint', 'fits', 'programs of')


def rows(cells: Mapping[str, Cell], plans: Plans, devices: int) -> list[dict[str, Any]]:
    """One object for each cell and run.

    `train_seconds` is the least time of all train steps by the roofline and `device_hours` that on all devices, null
    where the peaks are not known; `programs_of` names the first cell and run that has the same programs.
    """
    first: dict[tuple[int, ...], str] = {}
    made = []
    for (cell, run), plan in plans.items():
        shared = first.setdefault(tuple(map(id, plan.compiled)), f'{cell} {run}')
        epoch, training = plan.epoch, plan.compiled[0].seconds
        seconds = training * epoch.all_steps if epoch and training else None
        made.append({
            'cell': cell, 'run': run, 'data': cells[cell].data, 'size': cells[cell].size, 'seed': cells[cell].seed,
            'examples': epoch.examples if epoch else None, 'steps': epoch.all_steps if epoch else None,
            'tokens_at_most': epoch.all_steps * plan.compiled[0].step.tokens if epoch else None,
            'train_seconds': seconds, 'device_hours': None if seconds is None else seconds * devices / 3600,
            'checkpoint_bytes': plan.checkpoint, 'fits': plan.fits, 'would_fit_with': plan.advice,
            'programs_of': shared,
        })  # fmt: skip
    return made


def text(topology: str, mesh: Mesh, chip: Chip, lines: Sequence[Mapping[str, Any]], plans: Plans) -> str:
    """The same for people, below the programs that they share."""
    programs: dict[int, tuple[str, Compiled]] = {}
    for (cell, run), plan in plans.items():
        for each in plan.compiled:
            programs.setdefault(id(each), (f'{cell} {run}', each))
    hours = [line['device_hours'] for line in lines]
    known = sum(each for each in hours if each is not None)
    shape = ' '.join(f'{axis}={size}' for axis, size in mesh.shape.items())
    said = [
        f'{topology}: {mesh.size} {mesh.devices.flat[0].device_kind}, mesh {shape}; {len(programs)} programs',
        '',
        *aligned([table.HEADINGS, *(table.row(name, each) for name, each in programs.values())]),
        '',
        *aligned([HEADINGS, *map(_line, lines)]),
        '',
        f'{len(lines)} runs in {len({line["cell"] for line in lines})} cells, '
        f'{sum(not line["fits"] for line in lines)} do not fit. '
        + (f'Training takes {known:,.0f} device-hours at least: ' if known else 'Peak rates are not known here: ')
        + 'matrix products at the peak rate, rows at their longest; decoding, sweep and communication come on top.',
    ]
    one = len({line['cell'] for line in lines}) == 1
    for advice, names in _advised(lines).items():
        nothing = 'nothing that was tried fits' if one else f'--only={names[0].split()[0]} looks for settings that fit'
        said.append(f'{", ".join(names)}: ' + (f'with {advice} it fits' if advice else f'does not fit; {nothing}'))
    return '\n'.join(said)


def _line(line: Mapping[str, Any]) -> tuple[str, ...]:
    seconds, hours = line['train_seconds'], line['device_hours']
    return (
        line['cell'], line['run'],
        *('–' if line[name] is None else f'{line[name]:,}' for name in ('examples', 'steps')),
        '?' if seconds is None else table.seconds(seconds),
        '?' if hours is None else f'{hours:,.1f}',
        table.size(line['checkpoint_bytes']),
        'yes' if line['fits'] else 'NO',
        line['programs_of'],
    )  # fmt: skip


def _advised(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Settings under which they would fit, as typed, to the programs' names; each once."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line['fits']:
            names = found.setdefault(table.flags(line['would_fit_with'] or {}), [])
            if line['programs_of'] not in names:
                names.append(line['programs_of'])
    return found


def as_json(topology: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """One object: the topology, whether all fit, and the rows."""
    return json.dumps({'topology': topology, 'fits': all(line['fits'] for line in lines), 'cells': lines}, indent=2)
