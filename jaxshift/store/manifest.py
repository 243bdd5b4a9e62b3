"""Manifests: the SHA-256 of every file of a folder, because a flipped bit in a checkpoint goes unnoticed otherwise."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from jaxshift.store import paths

NAME = 'MANIFEST.json'


def digests(folder: Path, files: list[Path]) -> dict[str, dict]:
    """{path relative to folder: {'sha256', 'bytes'}} of some files."""
    return {
        path.relative_to(folder).as_posix(): {'sha256': _sha256(path), 'bytes': path.stat().st_size}
        for path in sorted(files)
    }


def write(folder: Path, **extra) -> None:
    """Writes MANIFEST.json over every file below the folder."""
    files = [path for path in folder.rglob('*') if path.is_file() and path.name != NAME]
    paths.write_json(folder / NAME, {'files': digests(folder, files), **extra})


def fault(folder: Path) -> str | None:
    """What is wrong with a folder that should match its manifest, in a few words, or None."""
    try:
        files = json.loads((folder / NAME).read_text())['files']
        return difference(folder, files)
    except FileNotFoundError:
        return f'no {NAME}'
    except (ValueError, KeyError, TypeError, AttributeError):  # JSON of another form, which a flipped bit can make
        return f'{NAME} is damaged'


def difference(folder: Path, files: dict[str, dict]) -> str | None:
    """The first of the listed files that is missing or changed, in a few words, or None."""
    for name, want in files.items():
        path = folder / name
        if not path.is_file():
            return f'{name} is missing'
        if path.stat().st_size != want['bytes'] or _sha256(path) != want['sha256']:
            return f'{name} is damaged'
    return None


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
