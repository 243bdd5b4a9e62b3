"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxshift.errors import InputError
from jaxshift.store import paths


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, that of line n at n - 1; none where there is no such file.

    Raises:
      InputError: names the first line that is no object.
    """
    if not path.is_file():
        return []
    # Bytes, not text: text.splitlines also cuts at U+2028, which a JSON string may hold.
    lines = path.read_bytes().rstrip().splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _object(line)
        if row is None:
            raise InputError(f'{path}:{number}: not a JSON object; correct the line or remove it')
        rows.append(row)
    return rows


def mend(path: Path) -> None:
    """Readies a file for more lines, or begins it: a last line that a kill cut off goes, no other byte is touched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a+b') as file:
        file.seek(0)
        last = file.read().rpartition(b'\n')[2]
        if last and _object(last) is not None:
            file.write(b'\n')  # all of it but the end came through
        elif last:
            file.truncate(file.tell() - len(last))


def line(row: dict[str, Any]) -> str:
    """An object as a line of such a file."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + '\n'


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes a whole file or nothing."""
    paths.write_text(path, ''.join(map(line, rows)))


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
