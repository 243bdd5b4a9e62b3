"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxshift.errors import InputError
from jaxshift.store import paths


def read(path: Path, growing: bool = False) -> list[dict[str, Any]]:
    """The objects of a file, that of line n at n - 1; none where there is no such file.

    Args:
      path: the file.
      growing: lines are still being added; a last one that was cut off is left out.

    Raises:
      InputError: names the first line that is no object.
    """
    if not path.is_file():
        return []
    # Bytes, not text: text.splitlines also cuts at U+2028, which a JSON string may hold.
    lines = path.read_bytes().rstrip().splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif not growing or number < len(lines):
            raise InputError(f'{path}:{number}: not a JSON object; correct the line or remove it')
    return rows


def line(row: dict[str, Any]) -> str:
    """An object as a line of such a file."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + '\n'


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes a whole file or nothing."""
    paths.write_text(path, ''.join(map(line, rows)))
