"""Keys of a configuration by their dotted names: reading one, and copies with other values."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from jaxshift.config import Experiment

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


def _section(part: Any, names: Sequence[str]) -> Any:
    for name in names:
        part = part[name] if isinstance(part, dict) else getattr(part, name)
    return part
