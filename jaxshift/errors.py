"""The ways a run can end early, and the line and exit code that `run.py` makes of each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Usage, configuration or input at fault (exit code 2).

    The message is one line for the user: it names the file, record and field, and says what to do.
    """


class Absent(InputError):
    """Weights or devices that a run needs are not here; `--mode=plan` needs neither."""


class RunFailed(Exception):
    """The program's own work failed, for example a loss that is not finite (exit code 1)."""


class Stopped(Exception):
    """A signal arrived and everything is saved (exit code 75): the same command goes on from here."""


def near(asked: str, known: Iterable[str]) -> str:
    """The name that one which does not exist is most like; '' where none is near."""
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(asked.lower(), names, n=1, cutoff=0.5)
    return names[found[0]] if found else ''


def meant(asked: str, known: Iterable[str]) -> str:
    """For an error about a name that does not exist: 'did you mean NAME?', or where none is near, all of them."""
    names = list(known)
    name = near(asked, names)
    return f'did you mean {name}?' if name else f'there are {", ".join(names)}.'


def outcome(error: BaseException, config: str | None) -> tuple[int, str]:
    """The exit code of an error, and its line for the user, who named a config file."""
    match error:
        case Absent():
            plan = f'python run.py --config={config} --mode=plan --topology=v5e:4x4'
            return 2, f'error: {" ".join(str(error).splitlines())}; what it takes is told without them by: {plan}'
        case InputError():
            return 2, f'error: {" ".join(str(error).splitlines())}'
        case Stopped():
            return 75, str(error)
        case KeyboardInterrupt():
            return 1, 'stopped at once; what was not saved is lost'
        case RunFailed():
            return 1, f'failed: {error}'
    return 1, f'failed: {type(error).__name__}: {(str(error).splitlines() or [""])[0]} (--debug shows where)'
