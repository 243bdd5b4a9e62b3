"""The cells of a grid: a config file whose get_cells() names studies that differ in some keys of its get_config()."""

from __future__ import annotations

import fnmatch
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jaxshift import config, settings
from jaxshift.config import Experiment
from jaxshift.errors import InputError, near


@dataclass(frozen=True)
class Cell:
    """One cell of a grid: a study of its own, with other values of some keys of its config.

    A config file that has many cells gives them by name, beside get_config(), as get_cells().
    """

    data: str  # what its instruction data is called in figures
    size: int  # examples of it
    seed: int  # cells that differ in the seed alone are averaged
    settings: Mapping[str, object]  # key below `config.`, and its value
    runs: tuple[str, ...] = ()  # of the config, those that it has; empty: all
    test: str = ''  # what its prompts are called where scores are published
    treated: str = ''  # other cells' `data` of which its own were made, by a filter or the like; LoRA is held to theirs


def load(path: str) -> dict[str, Cell]:
    """The cells that a config file names; none where it is one study."""
    make = runpy.run_path(path).get('get_cells')
    if make is None:
        return {}
    try:
        cells = make()
    except Exception as error:
        raise InputError(f'{path}: get_cells(): {type(error).__name__}: {error}') from error
    for name in cells:
        if not name.replace('-', '_').isidentifier():
            raise InputError(f'{path}: the cell {name!r} names a folder: use letters, digits, _ and -')
    return cells


def chosen(asked: Sequence[str], cells: Mapping[str, Cell]) -> list[str]:
    """The cells that `--only` names, also by patterns such as seed0_*, in the order of the config; none of none.

    Raises:
      InputError: a name or pattern fits no cell.
    """
    found = {each: fnmatch.filter(cells, each) for each in asked}
    for each, names in found.items():
        if not names:
            told = f'did you mean {name}? ' if (name := near(each, cells)) else ''
            raise InputError(
                f'--only: no cell {each!r} among the {len(cells)} of the config; {told}--mode=list has all of them'
            )
    return [name for name in cells if any(name in names for names in found.values())]


def check_overrides(arguments: Sequence[str], cells: Mapping[str, Cell]) -> None:
    """Refuses `--config.KEY=value` where the cells set the key themselves: it would change nothing."""
    for argument in arguments:
        key = argument.partition('=')[0].lstrip('-').removeprefix('config.')
        if setting := [name for name, cell in cells.items() if key in cell.settings]:
            raise InputError(
                f'config.{key} is set by the cells of this config ({setting[0]} and others); choose cells by --only, '
                'or change it in the config file'
            )


def experiments(common: Experiment, cells: Mapping[str, Cell]) -> dict[str, Experiment]:
    """The checked experiment of each cell, named as the study and the cell.

    Raises:
      InputError: a cell sets what is no key, or what is refused; names the cell.
    """
    found = {}
    for name, cell in cells.items():
        try:
            experiment = settings.changed(common, cell.settings)
            runs = {run: experiment.runs[run] for run in cell.runs or experiment.runs}
        except (AttributeError, KeyError) as error:
            raise InputError(f'cell {name} sets or names what the config has not: {error}') from error
        found[name] = replace(experiment, name=f'{common.name}, {name}', runs=runs)
        try:
            config.check(found[name])
        except InputError as error:
            raise InputError(f'cell {name}: {error}') from error
    return found
