"""A copy of a report in a folder of the user's."""

from __future__ import annotations

import shutil
from pathlib import Path

from jaxshift.errors import InputError

_MARK = 'jaxshift</title>'  # ends the title of every page
_HEAD = 100_000  # characters of a page that hold its title


def copy(report: Path, target: Path) -> Path:
    """Copies a report into a folder that is not there, is empty, or holds an older copy; returns the path of the page.

    No file is lost but those of the older copy that this one has too.

    Raises:
      InputError: the folder is one of a study, holds files that the report has not, or cannot be written.
    """
    if target.resolve().is_relative_to(report.resolve()) or (target.parent / 'experiment.json').exists():
        raise InputError(f'{target}: is where the report of a study lies; name another folder')
    try:
        if not _may_be_written(report, target):
            raise InputError(f'{target}: holds files that this report has not; name a new or an empty folder')
        shutil.copytree(report, target, dirs_exist_ok=True)
    except OSError as error:
        # Of several errors the first one: (from, to, what).
        told = error.strerror or (error.args[0][0][-1] if isinstance(error, shutil.Error) else error)
        raise InputError(f'{target}: the report cannot be written there ({told}); name another folder') from error
    return target / 'index.html'


def _may_be_written(report: Path, target: Path) -> bool:
    """Whether there is nothing, or nothing but what another copy has left."""
    page = target / 'index.html'
    if page.is_file():
        with page.open(encoding='utf-8', errors='replace') as file:
            if _MARK not in file.read(_HEAD):
                return False
    files = (path for path in target.rglob('*') if not path.is_dir() or path.is_symlink())
    return all((report / path.relative_to(target)).is_file() for path in files)
