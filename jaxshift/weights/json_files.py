"""JSON files that lie beside weights."""

from __future__ import annotations

import json
from pathlib import Path

from jaxshift.errors import InputError


def read_json(path: Path) -> dict:
    """A JSON object from a file; InputError names the file if it is not one."""
    try:
        value = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise InputError(f'{path}: missing; take the one that came with the weights') from error
    except (OSError, ValueError) as error:
        raise InputError(f'{path}: not readable as JSON ({error}); fetch it again') from error
    if not isinstance(value, dict):
        raise InputError(f'{path}: holds a {type(value).__name__}, not a JSON object; fetch it again')
    return value
