"""The record that a stage leaves in `done/`; no jax, so that what is done is listed at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any] | None:
    """A record with its `settings` and `files` (None: begun, not finished), or None where none can be read."""
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
        return record if isinstance(record, dict) and {'settings', 'files'} <= record.keys() else None
    except (FileNotFoundError, ValueError):
        return None
