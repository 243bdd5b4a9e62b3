"""Keys of a configuration by their dotted names: reading one, copies with other values, and what was recorded."""

from __future__ import annotations

import copy
import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxshift.config import Experiment
from jaxshift.errors import InputError

Settings = dict[str, Any]  # key of the config below `config.`, and its value


def value(experiment: Experiment, key: str) -> Any:
    """The value of a key."""
    *sections, field = key.split('.')
    return getattr(_section(experiment, sections), field)


def changed(experiment: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """A copy with other values of some keys; AttributeError or KeyError where there is no such key."""
    found = copy.deepcopy(experiment)
    for key, new in settings.items():
        *sections, field = key.split('.')
        section = _section(found, sections)
        getattr(section, field)
        setattr(section, field, new)
    return found


def flat(nested: Mapping[str, Any], prefix: str = '') -> Settings:
    """Settings by their dotted names, from sections as dicts: {'sweep': {'top_k': 3}} gives {'sweep.top_k': 3}.

    Lists become tuples, which the config has.
    """
    found: Settings = {}
    for key, inner in nested.items():
        if isinstance(inner, Mapping):
            found |= flat(inner, f'{prefix}{key}.')
        else:
            found[f'{prefix}{key}'] = tuple(inner) if isinstance(inner, list) else inner
    return found


def recorded(path: Path) -> Experiment:
    """The experiment of an experiment.json.

    Raises:
      InputError: there is no such file, or it is of another version.
    """
    try:
        return _part(Experiment, json.loads(path.read_text(encoding='utf-8'))['config'])
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); name the workdir of a study') from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: not of this version of jaxshift ({type(error).__name__}: {error}); any mode that is started in '
            'this workdir writes it anew'
        ) from error


def _part(kind: Any, value: Any) -> Any:
    """A value of JSON as the type of its key has it: lists are tuples, objects are dataclasses or dicts of them."""
    if value is None:
        return None
    inner = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        types = typing.get_type_hints(kind)
        return kind(**{name: _part(types[name], each) for name, each in value.items()})  # type: ignore[operator]
    if typing.get_origin(kind) is dict:
        return {name: _part(inner[1], each) for name, each in value.items()}
    if type(None) in inner:
        return _part(inner[0], value)
    return tuple(value) if typing.get_origin(kind) is tuple else value


def _section(part: Any, names: Sequence[str]) -> Any:
    for name in names:
        part = part[name] if isinstance(part, dict) else getattr(part, name)
    return part
