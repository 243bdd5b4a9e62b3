"""The processes of a run: how they find each other, what they agree on, who writes, and when they stop.

They talk through the key-value store of JAX's coordination service, which the first process holds. Waiting there keeps
no device busy, may last as long as the leader's work does, and ends where another process has failed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import jax
from jax._src import distributed  # jax.distributed does not hand out its client

from jaxshift import config
from jaxshift.errors import InputError, RunFailed, Stopped

LOOK = 1.0  # seconds after which a process that waits looks whether another has failed
BLAME = 5.0  # seconds that an error of the runtime waits for the word of the process that caused it
ENDING = 60  # seconds that a process waits at its end for the others
KEPT = 1000  # answers of the leader that are kept for those who come later
_FAILED, _STOP = 'jaxshift/failed', 'jaxshift/stop'

_turns = itertools.count()
_told: deque[str] = deque()
_patience = float(config.Process().timeout)


def start(asked: config.Process) -> None:
    """Joins the other processes of the run; must be called before JAX looks for devices.

    A process by itself starts nothing. Where the others do not come in time, it ends with exit code 2.

    Raises:
      InputError: the configuration and the environment do not say how many processes there are, or which this is.
    """
    global _patience
    _patience = asked.timeout
    arguments = _arguments(asked, os.environ)
    if arguments is None:
        return
    late = threading.Timer(asked.timeout, _give_up, (asked.timeout, arguments))
    late.daemon = True
    late.start()
    try:
        # The runtime's own time limit would abort the process without a word, so it comes later than ours.
        jax.distributed.initialize(
            **arguments, initialization_timeout=asked.timeout + 60, shutdown_timeout_seconds=ENDING
        )
    except (ValueError, TypeError) as error:
        if arguments or _tasks(os.environ) > 1:  # else a TPU that belongs to no pod
            raise InputError(
                f'this is one of several processes, but how they meet is not known ({error}); set '
                'config.process.coordinator, count and index'
            ) from error
    finally:
        late.cancel()


def _arguments(asked: config.Process, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What `jax.distributed.initialize` must be told, the rest of which it finds itself; None for a process alone."""
    address = asked.coordinator or environment.get('JAX_COORDINATOR_ADDRESS')
    count = asked.count or _number(environment, 'JAX_NUM_PROCESSES')
    index = asked.index if asked.index >= 0 else _number(environment, 'JAX_PROCESS_ID')
    if count == 1 or not (address or count or _tasks(environment) > 1 or _tpu(environment)):
        return None
    if count and index is not None and index >= count:
        raise InputError(f'process {index} of {count}: processes are counted from 0; correct config.process.index')
    told = {'coordinator_address': address, 'num_processes': count, 'process_id': index}
    if None not in told.values():
        told['cluster_detection_method'] = 'deactivate'  # SLURM would give each process one GPU alone
    return {name: value for name, value in told.items() if value is not None}


def _tasks(environment: Mapping[str, str]) -> int:
    """Processes that a launcher which JAX knows has started."""
    slurm = _number(environment, 'SLURM_NTASKS') if 'SLURM_STEP_NODELIST' in environment else None
    return slurm or _number(environment, 'OMPI_COMM_WORLD_SIZE') or 1


def _tpu(environment: Mapping[str, str]) -> bool:
    """Whether there is a TPU, which may belong to a pod: JAX asks the metadata of the machine."""
    if 'tpu' not in (environment.get('JAX_PLATFORMS') or 'tpu'):
        return False
    # JAX sets the first where it sees no TPU, so that nobody would answer; GKE sets both.
    return 'TPU_SKIP_MDS_QUERY' not in environment or ',' in environment.get('TPU_WORKER_HOSTNAMES', '')


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if text is not None and not text.isdecimal():
        raise InputError(f'the environment has {name}={text}; it must be a whole number')
    return None if text is None else int(text)


def _give_up(timeout: int, arguments: dict[str, Any]) -> None:
    where, count = arguments.get('coordinator_address', 'the coordinator'), arguments.get('num_processes', 'of the')
    print(
        f'error: after {timeout} s not all {count} processes have met at {where}; start the same command for every '
        'process, each with its own config.process.index from 0 on, or raise config.process.timeout',
        file=sys.stderr, flush=True,
    )  # fmt: skip
    os._exit(2)  # the main thread waits inside the runtime, which hears no exception


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
    while (text := _get(key)) is None:
        pass
    return json.loads(text)


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
    end, texts = time.monotonic() + _patience, dict.fromkeys(range(1, jax.process_count()), '')
    for index in texts:
        while not texts[index] and time.monotonic() < end:
            texts[index] = _get(f'{key}/{index}') or ''
        texts[index] = texts[index] or _look(f'{key}/{index}') or ''
    if missing := [str(index) for index, text in texts.items() if not text]:
        raise RunFailed(
            f'{name}: process {", ".join(missing)} of {jax.process_count()} has not come within {_patience:g} s; see '
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

    A second signal ends the process at once.
    """

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> StopSignal:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print('stopping at the next safe point; once more to stop at once', file=sys.stderr, flush=True)

    def agreed(self) -> bool:
        """Whether this or another process was asked to stop: the same answer on all, which must ask equally often."""
        if jax.process_count() == 1:
            return self.requested
        if self.requested and not leads():
            _client().key_value_set(_STOP, '', allow_overwrite=True)
        stopping = by_leader('stop', lambda: self.requested or _look(_STOP) is not None)
        self.requested |= stopping  # so that the leader goes on to say so
        return stopping

    def check(self) -> None:
        """Raises `Stopped` when a stop was requested; call it where everything is on disk."""
        if self.agreed():
            raise Stopped('stopped on a signal, everything is saved: start the same command again to go on')
