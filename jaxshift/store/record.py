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


def altered(folder: Path, files: dict[str, dict[str, Any]]) -> bool:
    """Whether a file of a record is missing or of another size; what `manifest.difference` finds is more, and dear."""
    paths = ((folder / name, want['bytes']) for name, want in files.items())
    return any(not path.is_file() or path.stat().st_size != size for path, size in paths)
