"""How the processes of a run find each other: by the configuration, or by what the environment of a cluster says."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

import jax

from jaxshift.config import Process
from jaxshift.devices import process
from jaxshift.errors import InputError

ENDING = 60  # seconds that a process waits at its end for the others


def join(asked: Process) -> None:
    """Joins the other processes of the run; must be called before JAX looks for devices.

    A process by itself starts nothing. Where the others do not come in time, it ends with exit code 2.

    Raises:
      InputError: the configuration and the environment do not say how many processes there are, or which this is.
    """
    process.patience = asked.timeout
    arguments = _arguments(asked, os.environ)
    if arguments is None:
        return
    if 'coordinator_address' not in arguments and _tasks(os.environ) == 1 and not _tpu(os.environ):
        raise InputError(_unknown('no coordinator is named'))
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
            raise InputError(_unknown(str(error))) from error
    finally:
        late.cancel()


def _unknown(why: str) -> str:
    return (
        f'this is one of several processes, but how they meet is not known ({why}); set config.process.coordinator, '
        'count and index'
    )


def _arguments(asked: Process, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What `jax.distributed.initialize` must be told, the rest of which it finds itself; None for a process alone."""
    address = asked.coordinator or environment.get('JAX_COORDINATOR_ADDRESS')
    count = asked.count or _number(environment, 'JAX_NUM_PROCESSES')
    index = asked.index if asked.index >= 0 else _number(environment, 'JAX_PROCESS_ID')
    if count == 1 or not (address or count or index is not None or _tasks(environment) > 1 or _tpu(environment)):
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
