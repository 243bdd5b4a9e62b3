"""The processes of a run: what they agree on, who writes, and when they stop.

They talk through the key-value store of JAX's coordination service, which the first process holds. Waiting there keeps
no device busy, may last as long as the leader's work does, and ends where another process has failed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

import jax
from jax._src import distributed  # jax.distributed does not hand out its client

from jaxshift import config
from jaxshift.errors import InputError, RunFailed, Stopped

LOOK = 1.0  # seconds after which a process that waits looks whether another has failed
BLAME = 5.0  # seconds that an error of the runtime waits for the word of the process that caused it
KEPT = 1000  # answers of the leader that are kept for those who come later
_FAILED, _STOP = 'jaxshift/failed', 'jaxshift/stop'

_turns = itertools.count()
_told: deque[str] = deque()
patience = float(config.Process().timeout)  # seconds; `cluster.join` sets what is configured


def leads() -> bool:
    """True for the one process that writes what is single."""
    return jax.process_index() == 0


def by_leader(name: str, work: Callable[[], Any]) -> Any:
    """What `work` gives on the leader, which alone does it; the others wait for the answer, which must be JSON.

    Every process must call it, in the same order. Where `work` fails, the leader alone raises; the others hear of it
    when it ends.
    """
    if jax.process_count() == 1:
        return work()
    key = f'jaxshift/{next(_turns)}/{name}'
    if leads():
        text = json.dumps(work())
        _client().key_value_set(key, text)
        _told.append(key)
        if len(_told) > KEPT:
            _client().key_value_delete(_told.popleft())
        return json.loads(text)
    while (answer := _get(key)) is None:
        pass
    return json.loads(answer)


def agree(name: str, value: Any, judge: Callable[[list[Any]], Any]) -> Any:
    """What the leader judges of the values of all processes, in their order; values and judgement are JSON.

    Raises:
      RunFailed: a process has not come within `config.process.timeout`; names it.
    """
    if jax.process_count() == 1:
        return judge([value])
    key, own = f'jaxshift/{next(_turns)}/{name}', json.dumps(value)
    if not leads():
        _client().key_value_set(f'{key}/{jax.process_index()}', own)
    return by_leader(name, lambda: judge([json.loads(text) for text in (own, *_collected(key, name))]))


def together(name: str) -> None:
    """Waits until every process has come here."""
    agree(name, None, lambda values: None)


def _collected(key: str, name: str) -> list[str]:
    end, texts = time.monotonic() + patience, dict.fromkeys(range(1, jax.process_count()), '')
    for index in texts:
        while not texts[index] and time.monotonic() < end:
            texts[index] = _get(f'{key}/{index}') or ''
        texts[index] = texts[index] or _look(f'{key}/{index}') or ''
    if missing := [str(index) for index, text in texts.items() if not text]:
        raise RunFailed(
            f'{name}: process {", ".join(missing)} of {jax.process_count()} has not come within {patience:g} s; see '
            'what it printed, and start the same command again on all'
        )
    _client().key_value_delete(key)
    return list(texts.values())


def failed(error: BaseException) -> None:
    """Tells the others why this process ends.

    Raises:
      InputError, RunFailed: another process ended before, which will be why the runtime here failed.
    """
    if distributed.global_state.client is None or isinstance(error, Stopped):
        return
    kind = 'InputError' if isinstance(error, InputError) else 'RunFailed'
    line = str(error) if isinstance(error, InputError | RunFailed) else f'{type(error).__name__}: {error}'
    if isinstance(error, jax.errors.JaxRuntimeError):
        end = time.monotonic() + BLAME
        while time.monotonic() < end:
            _raise_of_another()
            time.sleep(LOOK / 10)
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # another was first, or the leader is gone
        _client().key_value_set(_FAILED, json.dumps({'process': jax.process_index(), 'kind': kind, 'line': line}))


def _raise_of_another() -> None:
    note = json.loads(_look(_FAILED) or '{}')
    if note and note['process'] != jax.process_index():
        kind = InputError if note['kind'] == 'InputError' else RunFailed
        raise kind(f'process {note["process"]}: {note["line"]}')


def _get(key: str) -> str | None:
    """A value as soon as it is there; None after a while."""
    try:
        return _client().blocking_key_value_get(key, int(1000 * LOOK))
    except jax.errors.JaxRuntimeError as error:
        if 'DEADLINE_EXCEEDED' not in str(error):
            raise
    _raise_of_another()
    return None


def _look(key: str) -> str | None:
    """A value, or None where there is none yet, or nobody left to ask."""
    try:
        return _client().key_value_try_get(key)
    except jax.errors.JaxRuntimeError:
        return None


def _client():
    return distributed.global_state.client


class StopSignal:
    """Turns the first SIGINT or SIGTERM into a request that loops ask for at points where everything is saved.

    A second signal ends the process at once. Python lets the main thread alone receive them; elsewhere none is heeded.
    """

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for name in (signal.SIGINT, signal.SIGTERM):
                signal.signal(name, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print('stopping at the next safe point; once more to stop at once', file=sys.stderr, flush=True)

    def agreed(self) -> bool:
        """Whether this or another process was asked to stop: the same answer on all, which must ask equally often.

        Raises:
          InputError, RunFailed: another process has failed.
        """
        if jax.process_count() == 1:
            return self.requested
        if leads():
            _raise_of_another()  # else the next computation would wait for a process that has ended
        elif self.requested:
            _client().key_value_set(_STOP, '', allow_overwrite=True)
        stopping = by_leader('stop', lambda: self.requested or _look(_STOP) is not None)
        self.requested |= stopping  # so that the leader goes on to say so
        return stopping

    def check(self) -> None:
        """Raises `Stopped` when a stop was requested; call it where everything is on disk."""
        if self.agreed():
            raise Stopped('stopped on a signal, everything is saved: start the same command again to go on')
