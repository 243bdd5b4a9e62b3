"""Which stages of a workdir are done, under which settings, and whether their files still are what was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jaxshift.devices import process
from jaxshift.errors import InputError
from jaxshift.store import manifest, paths
from jaxshift.store.record import read

BY_THEMSELVES = ('export',)  # stages that --mode=run leaves out


class Ledger:
    """One record a stage: `done/<stage>[-<run>].json` with the settings that made it and digests of its files."""

    def __init__(self, workdir: paths.Workdir, say: Callable[[str], None]):
        self._workdir = workdir
        self._say = say
        self._sound: set[Path] = set()  # records whose files this process has verified or made

    def do(
        self,
        stage: str,
        run: str,
        settings: dict[str, Any],
        work: Callable[[], Iterable[Path]],
        clear: Callable[[], None] | None,
        shared: bool = False,
    ) -> None:
        """Runs a stage unless it is done. All processes come here; what stands on disk is looked at by the leader.

        Args:
          stage: its name.
          run: the run that it is done for, or ''.
          settings: everything that its result depends on.
          work: does it and returns the files it wrote.
          clear: removes what other settings left behind; None: too dear to do again unasked.
          shared: every process does the work, and the leader knows the files of all; else the leader alone does it.

        Raises:
          InputError: other settings have left results that are not thrown away unasked; or another process has others.
        """
        title, path = _title(stage, run), self._workdir.done(stage, run)
        check_same(title, settings)
        record = read(path) if process.leads() else None
        if process.by_leader(title, lambda: self._is_done(title, path, record, settings, clear)):
            self._sound.add(path)
            return

        def keep(work: Callable[[], Iterable[Path]]) -> None:
            files = manifest.digests(self._workdir.root, list(work()))
            paths.write_json(path, {'settings': settings, 'files': files})

        try:
            if shared:
                files = list(work())
                process.together(title)
                process.by_leader(title, lambda: keep(lambda: files))
            else:
                process.by_leader(title, lambda: keep(work))
        except InputError:
            # Nothing was made by these settings, so nothing need be protected from the corrected ones.
            if record:
                paths.write_json(path, record)
            elif process.leads():
                path.unlink()
            raise
        self._sound.add(path)

    def _is_done(
        self, title: str, path: Path, record: dict[str, Any] | None, settings: dict[str, Any],
        clear: Callable[[], None] | None,
    ) -> bool:  # fmt: skip
        """Whether there is nothing to do; else what is in the way is cleared, and the stage begun."""
        changed = difference(record['settings'], settings) if record else None
        if record and not changed:
            if record['files'] is not None:
                wrong = manifest.difference(self._workdir.root, record['files'])
                if wrong is None:
                    self._say(f'{title}: done before')
                    return True
                self._say(f'{title}: {wrong}; doing it again')
                if clear:
                    clear()
        elif record:
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
        return False

    def finished(self, stage: str, run: str, settings: dict[str, Any]) -> dict[str, dict]:
        """The files of a finished stage and their digests, as `manifest.digests` has them.

        Args:
          stage, run: as in `do`.
          settings: some of those that it must have been made with.

        Raises:
          InputError: the stage is not finished, or was made with other settings.
        """
        title = f'{self._workdir.root}: {_title(stage, run)}'
        record = read(self._workdir.done(stage, run))
        if record is None or record['files'] is None:
            raise InputError(f'{title} is not finished; --mode={_mode(stage)} does what is missing')
        if changed := difference({key: record['settings'].get(key) for key in settings}, settings):
            raise InputError(f'{title} was made with another {changed}; --mode={_mode(stage)} does what is missing')
        return record['files']

    def result(self, stage: str, run: str, settings: dict[str, Any]) -> dict[str, dict]:
        """The same, and the files are verified, once a process.

        Raises:
          InputError: as `finished`, or a file is missing or damaged.
        """
        files, path = self.finished(stage, run, settings), self._workdir.done(stage, run)
        if path not in self._sound:
            title, root = _title(stage, run), self._workdir.root
            if wrong := process.by_leader(title, lambda: manifest.difference(root, files)):
                raise InputError(f'{root}: {title}: {wrong}; --mode={_mode(stage)} makes it again')
            self._sound.add(path)
        return files


def check_same(title: str, settings: dict[str, Any]) -> None:
    """Waits for the other processes.

    Raises:
      InputError: on all of them where one has other settings than the first; names it and the setting.
    """

    def judge(values: list[dict[str, Any]]) -> str | None:
        differences = (difference(values[0], other, 'there') for other in values)
        return next((f'process {i} has another {text}' for i, text in enumerate(differences) if text), None)

    if wrong := process.agree(title, settings, judge):
        raise InputError(f'{title}: {wrong}; start the same command, on the same files, for every process')


def difference(old: dict[str, Any], new: dict[str, Any], word: str = 'now') -> str | None:
    """The first setting that differs, for example 'run.learning_rate (0.002, now 0.001)', or None.

    Args:
      old: settings as they were read from JSON.
      new: settings as they are now.
      word: says where the new ones hold.
    """
    old, new = (json.loads(json.dumps(each)) for each in (old, new))  # JSON has no tuples
    return None if old == new else _first_difference(old, new, word)


def _mode(stage: str) -> str:
    return stage if stage in BY_THEMSELVES else 'run'


def _title(stage: str, run: str) -> str:
    return f'{stage} {run}' if run else stage


def _first_difference(old: Any, new: Any, word: str, name: str = '') -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        # What is asked for in another way says more than what only that needs.
        for key in sorted(old.keys() | new.keys(), key=lambda key: (key not in old or key not in new, key)):
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), word, f'{name}.{key}' if name else key)
    shown = [text if len(text := str(value)) <= 40 else text[:37] + '...' for value in (old, new)]
    return f'{name} ({shown[0]}, {word} {shown[1]})'
