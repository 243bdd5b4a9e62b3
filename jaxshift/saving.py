"""A copy of a report in a folder of the user's."""

from __future__ import annotations

import shutil
from pathlib import Path

from jaxshift.errors import InputError

_MARK = 'jaxshift</title>'  # ends the title of every page
_HEAD = 100_000  # characters of a page that hold its title


def copy(report: Path, target: Path) -> Path:
    """Copies a report into a folder that is not there, is empty, or holds an older copy; returns the path of the page.

    Raises:
      InputError: the folder is the report or part of it, holds other files, or cannot be written.
    """
    if target.resolve().is_relative_to(report.resolve()):
        raise InputError(f'{target}: is where the report of the study lies; name another folder')
    try:
        if not _may_be_replaced(target):
            raise InputError(f'{target}: holds files that are no saved report; name a new or an empty folder')
        for path in target.glob('*'):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        shutil.copytree(report, target, dirs_exist_ok=True)
    except OSError as error:
        # Of several errors the first one: (from, to, what).
        told = error.strerror or (error.args[0][0][-1] if isinstance(error, shutil.Error) else error)
        raise InputError(f'{target}: the report cannot be written there ({told}); name another folder') from error
    return target / 'index.html'


def _may_be_replaced(target: Path) -> bool:
    """Whether nothing is lost: there is no such folder, or nothing in it but a report."""
    if not target.exists():
        return True
    held, page = {path.name for path in target.iterdir()}, target / 'index.html'
    if not held:
        return True
    if not page.is_file() or not held <= {'index.html', 'show_data.html', 'figures', 'tables'}:
        return False
    with page.open(encoding='utf-8', errors='replace') as file:
        return _MARK in file.read(_HEAD)
