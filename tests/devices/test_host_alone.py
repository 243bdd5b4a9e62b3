"""JAX looks for a TPU unless libtpu is here for plans alone."""

import importlib.util
import os

import pytest

from jaxshift.devices import host_memory, topology


@pytest.fixture
def platforms(monkeypatch, tmp_path):
    """What JAX is told on a machine with libtpu, or without, and with signs of a TPU, or none."""

    def told(libtpu=True, device='null', variable='PATH', accelerated=False, before=None):
        for name in [each for each in os.environ if each.startswith('TPU_')]:
            monkeypatch.delenv(name)
        monkeypatch.setenv(variable, 'x')
        monkeypatch.setenv('JAX_PLATFORMS', '')  # so that it is given back
        monkeypatch.delenv('JAX_PLATFORMS')
        if before:
            monkeypatch.setenv('JAX_PLATFORMS', before)
        (tmp_path / device).touch()
        monkeypatch.setattr(topology, '_DEVICES', tmp_path)
        monkeypatch.setattr(importlib.util, 'find_spec', lambda name: libtpu or None)
        monkeypatch.setattr(host_memory, 'accelerated', lambda: accelerated)
        topology.host_alone()
        return os.environ.get('JAX_PLATFORMS')

    return told


def test_without_a_sign_of_one_it_does_not_look(platforms):
    assert platforms() == 'cpu'


@pytest.mark.parametrize(
    'machine',
    [
        {'libtpu': False},
        {'device': 'accel0'},
        {'device': 'vfio'},
        {'variable': 'TPU_WORKER_HOSTNAMES'},
        {'accelerated': True},
    ],
)
def test_else_it_does(platforms, machine):
    assert platforms(**machine) is None


def test_the_word_of_the_user_holds(platforms):
    assert platforms(before='tpu,cpu') == 'tpu,cpu'
