"""The ways a run can end early; `run.py` turns each into one line and an exit code."""

from __future__ import annotations


class InputError(Exception):
    """Usage, configuration or input at fault (exit code 2).

    The message is one line for the user: it names the file, record and field, and says what to do.
    """


class RunFailed(Exception):
    """The program's own work failed, for example a loss that is not finite (exit code 1)."""


class Stopped(Exception):
    """A signal arrived and everything is saved (exit code 75): the same command goes on from here."""
