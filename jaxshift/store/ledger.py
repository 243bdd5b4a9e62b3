"""Which stages of a workdir are done, under which settings, and whether their files still are what was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jaxshift.errors import InputError
from jaxshift.store import manifest, paths


class Ledger:
    """One record a stage: `done/<stage>[-<run>].json` with the settings that made it and digests of its files."""

    def __init__(self, workdir: paths.Workdir, say: Callable[[str], None]):
        self._workdir = workdir
        self._say = say

    def do(
        self,
        stage: str,
        run: str,
        settings: dict[str, Any],
        work: Callable[[], Iterable[Path]],
        clear: Callable[[], None] | None,
    ) -> None:
        """Runs a stage unless it is done.

        Args:
          stage: its name.
          run: the run that it is done for, or ''.
          settings: everything that its result depends on.
          work: does it and returns the files it wrote.
          clear: removes what other settings left behind; None: too dear to do again unasked.

        Raises:
          InputError: other settings have left results that are not thrown away unasked.
        """
        title = f'{stage} {run}'.strip()
        path = self._workdir.done(stage, run)
        settings = json.loads(json.dumps(settings))
        record = read(path)
        if record and record['settings'] == settings:
            if record['files'] is not None:
                wrong = manifest.difference(self._workdir.root, record['files'])
                if wrong is None:
                    self._say(f'{title}: done before')
                    return
                self._say(f'{title}: {wrong}; doing it again')
                if clear:
                    clear()
        elif record:
            changed = _first_difference(record['settings'], settings)
            if clear is None:
                raise InputError(
                    f'{self._workdir.root}: {title} was made with another {changed}; '
                    f'give another --workdir, or remove {path} and what it made'
                )
            self._say(f'{title}: {changed} has changed; doing it again')
            clear()
        elif clear:
            clear()  # nobody knows which settings made what may be there
        paths.write_json(path, {'settings': settings, 'files': None})
        try:
            files = manifest.digests(self._workdir.root, list(work()))
        except InputError:
            # Nothing was made by these settings, so nothing need be protected from the corrected ones.
            if record:
                paths.write_json(path, record)
            else:
                path.unlink()
            raise
        paths.write_json(path, {'settings': settings, 'files': files})


def read(path: Path) -> dict[str, Any] | None:
    """A record with its `settings` and `files` (None: begun, not finished), or None where none can be read."""
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
        return record if isinstance(record, dict) and {'settings', 'files'} <= record.keys() else None
    except (FileNotFoundError, ValueError):
        return None


def _first_difference(old: Any, new: Any, name: str = '') -> str:
    """The first setting that differs, for example 'run.learning_rate (0.002, now 0.001)'."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), f'{name}.{key}' if name else key)
    shown = [text if len(text := str(value)) <= 40 else text[:37] + '...' for value in (old, new)]
    return f'{name} ({shown[0]}, now {shown[1]})'
