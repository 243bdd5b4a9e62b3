import os
import signal

import pytest

from jaxshift.devices.process import StopSignal, leads
from jaxshift.errors import Stopped


@pytest.fixture
def stop():
    """An installed StopSignal; the handlers of before come back."""
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    yield StopSignal().install()
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.mark.parametrize('name', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_next_safe_point(stop, name, capsys):
    stop.check()
    os.kill(os.getpid(), name)
    assert stop.requested
    assert 'stopping at the next safe point' in capsys.readouterr().err
    with pytest.raises(Stopped, match='everything is saved: start the same command again'):
        stop.check()


def test_a_second_signal_ends_at_once(stop):
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_only_process_leads():
    assert leads()
