"""The keys of a configuration: as text for the help, and the nearest one to a key that does not exist."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path

from jaxshift import config
from jaxshift.errors import InputError


@dataclasses.dataclass(frozen=True)
class Option:
    """One key that `--config.KEY=value` sets."""

    key: str
    type: str
    value: object
    help: str


def options(section, prefix: str = '') -> Iterator[Option]:
    """All keys below a section of the configuration, in the order in which they are defined."""
    if isinstance(section, dict):
        for name, part in section.items():
            yield from options(part, f'{prefix}{name}.')
        return
    notes = _notes(type(section))
    types = typing.get_type_hints(type(section))
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value) or isinstance(value, dict):
            yield from options(value, f'{prefix}{field.name}.')
        else:
            kind = types[field.name]
            yield Option(prefix + field.name, getattr(kind, '__name__', str(kind)), value, notes.get(field.name, ''))


def _notes(section: type) -> dict[str, str]:
    """The comments at the ends of the lines of a dataclass: they are its help."""
    found = re.findall(r'^    (\w+): .*?  # (.+)$', inspect.getsource(section), re.MULTILINE)
    return dict(found)


def check_overrides(arguments: list[str], experiment: config.Experiment) -> None:
    """Checks `--config.key` arguments before they are parsed, because a wrong key would be a traceback.

    Raises:
      InputError: names the nearest known key.
    """
    known = {option.key for option in options(experiment)}
    for argument in arguments:
        key, equals, _ = argument.removeprefix('--config.').partition('=')
        if not argument.startswith('--config.'):
            continue
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)[0]
            raise InputError(f'unknown key config.{key}; did you mean config.{near}? --help lists all keys')
        if not equals:
            raise InputError(f'config.{key} has no value; write --config.{key}=VALUE')


def split_lists(section) -> None:
    """Turns 'a,b', which the flag parser leaves as one string, into a list of two, throughout a configuration."""
    for part in section.values() if isinstance(section, dict) else _parts(section):
        split_lists(part)
    if dataclasses.is_dataclass(section):
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            if isinstance(value, tuple) and any(isinstance(item, str) for item in value):
                items = [item.strip() for text in value for item in str(text).split(',')]
                setattr(section, field.name, tuple(item for item in items if item))


def _parts(section) -> list:
    values = [getattr(section, field.name) for field in dataclasses.fields(section)]
    return [value for value in values if dataclasses.is_dataclass(value) or isinstance(value, dict)]


def config_files(folder: Path) -> dict[Path, str]:
    """The config files of a folder with the first lines of their docstrings."""
    found = {}
    for path in sorted(folder.glob('*.py')):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
        found[path] = doc.partition('\n')[0]
    return found
