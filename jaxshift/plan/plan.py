"""`--mode=plan`: compiles the steps of every run from shapes alone and says what they take, and whether they fit."""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jaxshift.cells import Cell
from jaxshift.config import Experiment
from jaxshift.data import dataset, held_out
from jaxshift.devices import chips, topology
from jaxshift.devices import mesh as meshes
from jaxshift.devices.chips import Chip
from jaxshift.errors import InputError
from jaxshift.llama.config import LlamaConfig
from jaxshift.plan import alternatives, grid_table, shape, steps, table
from jaxshift.plan.compiling import Compiled, Programs
from jaxshift.store import paths
from jaxshift.tune import train
from jaxshift.tune.step import recipe

PAPER = 52_000  # examples of the paper's instruction data


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data is.

    Attributes:
      source: where the numbers come from.
      examples, steps, tokens: of one pass; tokens are the most that there can be where the data is not there.
      all_steps: of the whole run.
    """

    source: str
    examples: int
    steps: int
    tokens: int
    all_steps: int


@dataclass(frozen=True)
class Plan:
    """What one run takes.

    Attributes:
      compiled: its steps.
      trained: numbers it trains; None where it is given.
      checkpoint: bytes of one of its checkpoints.
      epoch: None where it is given.
      advice: settings under which it would fit, where it does not; None where nothing was found.
    """

    compiled: tuple[Compiled, ...]
    trained: int | None
    checkpoint: int
    epoch: Epoch | None
    advice: dict[str, Any] | None

    @property
    def fits(self) -> bool:
        return all(each.fits for each in self.compiled)


def run(experiment: Experiment, name: str, only: Sequence[str], workdir: Path, as_json: bool) -> int:
    """Prints the plan of some runs for a topology; the exit code: 0 where all fit, else 3."""
    jax.config.update('jax_enable_compilation_cache', False)  # else compiling would seem to take no time
    config = shape.of_base(experiment)
    devices = topology.devices(name, experiment.mesh.dcn)
    mesh, chip = _mesh(experiment, config, devices), chips.chip(devices)
    planner = Planner()
    plans = {each: planner.plan(experiment, each, config, mesh, chip, workdir) for each in only}
    if as_json:
        print(json.dumps(table.as_json(experiment, name, config, mesh, chip, plans), indent=2), flush=True)
    else:
        print(table.text(experiment, name, config, mesh, chip, plans), flush=True)
    return 0 if all(plan.fits for plan in plans.values()) else 3


def run_grid(
    cells: Mapping[str, Cell], experiments: Mapping[str, Experiment], name: str, workdir: Path, as_json: bool
) -> int:
    """Prints the plan of some cells of a grid; the exit code: 0 where all fit, else 3.

    A program that several cells share is compiled once. What would fit is looked for, which compiles more, where one
    cell alone is asked about.
    """
    jax.config.update('jax_enable_compilation_cache', False)
    planner, plans = Planner(advises=len(experiments) == 1), {}
    for cell, experiment in experiments.items():
        config, devices = shape.of_base(experiment), topology.devices(name, experiment.mesh.dcn)
        mesh, chip = _mesh(experiment, config, devices), chips.chip(devices)
        folder = workdir / 'cells' / cell
        for each in experiment.runs:
            plans[cell, each] = planner.plan(experiment, each, config, mesh, chip, folder, cells[cell].size)
    rows = grid_table.rows({name: cells[name] for name in experiments}, plans, mesh.size)
    print(grid_table.as_json(name, rows) if as_json else grid_table.text(name, mesh, chip, rows, plans), flush=True)
    return 0 if all(plan.fits for plan in plans.values()) else 3


def _mesh(experiment: Experiment, config: LlamaConfig, devices: list) -> Mesh:
    mesh = meshes.make(experiment.mesh, devices)
    meshes.check_heads(mesh, config.num_attention_heads, config.num_key_value_heads)
    return mesh


class Planner:
    """Plans runs, and does nothing twice that runs of one shape share; `advises`: looks for what would fit."""

    def __init__(self, advises: bool = True) -> None:
        self.programs = Programs()
        self._advises = advises
        self._advised: dict[tuple[Hashable, ...], dict[str, Any] | None] = {}

    def plan(
        self, experiment: Experiment, name: str, config: LlamaConfig, mesh: Mesh, chip: Chip, workdir: Path,
        size: int = PAPER,
    ) -> Plan:  # fmt: skip
        """The plan of one run, whose data have `size` examples where neither workdir nor keys say how many."""
        run = experiment.runs[name]
        wanted = list(steps.of_run(experiment, name, config, mesh))
        found = tuple(self.programs.compiled(name, step, mesh, chip) for step in wanted)
        refused = [each.step.name for each in found if not each.fits]
        advice = None
        if refused and self._advises:
            key = tuple(map(self.programs.key, wanted))
            if key not in self._advised:
                self._advised[key] = self._advice(experiment, name, config, mesh, chip, refused)
            advice = self._advised[key]
        if run.method == 'given':
            return Plan(found, None, 0, None, advice)
        asked = recipe(run, config, experiment.base.dtype)
        checkpoint = steps.whole_bytes(steps.trained(asked, mesh))
        return Plan(found, train.parameters(asked), checkpoint, _epoch(experiment, name, workdir, size), advice)

    def _advice(
        self, experiment: Experiment, name: str, config: LlamaConfig, mesh: Mesh, chip: Chip, refused: list[str]
    ) -> dict[str, Any] | None:
        """The first alternative under which every step fits; those that were refused are tried first."""
        devices = list(mesh.devices.flat)
        for settings, other in alternatives.of(experiment, name, config, mesh, refused):
            try:
                changed = _mesh(other, config, devices)
                found = list(steps.of_run(other, name, config, changed))
            except InputError:  # such a mesh cannot be laid out here
                continue
            tried = sorted(found, key=lambda step: step.name not in refused)
            if any(steps.device_bytes(step.arguments) > chip.memory for step in tried):
                continue
            print(f'trying {table.flags(settings)}', file=sys.stderr, flush=True)
            if all(self.programs.compiled(name, step, changed, chip).fits for step in tried):
                return settings
        return None


def _epoch(experiment: Experiment, name: str, workdir: Path, size: int = PAPER) -> Epoch:
    """From the data where the workdir has it, else for as many examples as the config names, or `size`."""
    run, asked = experiment.runs[name], experiment.data
    folder = paths.Workdir(workdir).treated(run.treatment)
    if (folder / 'counts.json').is_file():
        data = held_out.split(dataset.open_dataset(folder))[0]
        whole = train.schedule(run, data)
        examples, tokens = len(data), int(data.lengths.sum())
        return Epoch(str(folder), examples, max(1, round(whole.steps / run.epochs)), tokens, whole.steps)
    world = experiment.world if asked.source == 'world:' else None
    named = world.instructions if world else asked.subset
    examples = named or size
    who = 'paper' if examples == PAPER and not named else 'config'
    source = f'{examples:,} examples of at most {asked.max_length:,} tokens, as the {who} has'
    last = max(-(-int(examples * run.epochs) // run.batch_size), run.min_steps)
    steps_in_all = min(last, run.max_steps) if run.max_steps else last
    return Epoch(source, examples, -(-examples // run.batch_size), examples * asked.max_length, steps_in_all)
