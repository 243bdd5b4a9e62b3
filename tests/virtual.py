"""Programs of the tests in processes of their own, where the host is so many virtual devices."""

import os
import socket
import subprocess
import sys

from commandline import ROOT


def environment(devices: int) -> dict[str, str]:
    return os.environ | {
        'JAX_PLATFORMS': 'cpu',
        'XLA_FLAGS': f'{os.environ["XLA_FLAGS"]} --xla_force_host_platform_device_count={devices}',
        'PJRT_NPROC': '64',  # threads: with those of two cores, devices that wait for each other's may stand still
        'PYTHONPATH': str(ROOT),
    }


def run(*command) -> str:
    """What a program on eight devices prints."""
    ended = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment(8), cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def free_port() -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]
