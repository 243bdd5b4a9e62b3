"""Plans for TPU topologies that are not here, compiled by libtpu."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest
from commandline import DEMO, ROOT, TINY, start

from jaxshift.devices.chips import GIB, TABLE

WITHOUT = importlib.util.find_spec('libtpu') is None
needs_libtpu = pytest.mark.skipif(WITHOUT, reason="needs libtpu: pip install -e '.[plan]'")
# The compiler refuses what it has no room for, and says how much there would have been.
ASK = """
import sys
from jaxshift.devices import topology
topology.prepare(sys.argv[1])
import jax
for name in sys.argv[1:]:
    devices = topology.devices(name)
    place = jax.sharding.SingleDeviceSharding(devices[0])
    too_much = jax.ShapeDtypeStruct((60 * 2**30,), 'float32', sharding=place)
    same = topology.devices(name)[0] == devices[0]
    chips = len({tuple(each.coords) for each in devices})
    try:
        jax.jit(lambda x: x + 1).lower(too_much).compile()
    except jax.errors.JaxRuntimeError as error:
        print(name, devices[0].device_kind, chips / len(devices), str(error).splitlines()[0], same, sep='|')
"""
NAMES = ('v3:2x2', 'v4:2x2x1', 'v5e:2x2', 'v5p:2x2x1', 'v6e:2x2', 'tpu7x:2x2x1')


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, text=True, capture_output=True, env=os.environ)


def planned(*arguments):
    return python('run.py', '--mode=plan', *arguments)


@pytest.fixture(scope='module')
def refusals():
    """By topology: kind, chips a device, what the compiler says of too large a program, and if it is the same twice."""
    lines = [line.split('|') for line in python('-c', ASK, *NAMES).stdout.splitlines()]
    return {name: (kind, float(chips), words, same) for name, kind, chips, words, same in lines}


@needs_libtpu
@pytest.mark.parametrize('name', NAMES)
def test_the_table_has_the_memory_that_the_compiler_allots(refusals, name):
    kind, chips, words, _ = refusals[name]
    allotted = float(re.search(r'available HBM \(([\d.]+)G\)', words)[1])
    assert TABLE[kind][0] * chips == pytest.approx(allotted, abs=0.01), GIB


@needs_libtpu
def test_a_topology_asked_for_twice_has_the_same_devices_so_that_its_programs_are_the_same(refusals):
    assert {same for *_, same in refusals.values()} == {'True'}


@needs_libtpu
def test_a_plan_for_an_absent_topology_is_one_object(tmp_path):
    ended = planned(
        *TINY, '--only=full', '--config.mesh.data=1', '--config.mesh.fsdp=4', '--topology=v5e:2x2', '--json'
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found['devices'] == {
        'count': 4, 'kind': 'TPU v5 lite', 'memory_bytes': int(15.75 * GIB), 'peak_flops': 197e12,
        'memory_source': "as libtpu's compiler allots", 'peak_bytes_per_second': 819e9,
    }  # fmt: skip
    assert found['mesh'] == {'data': 1, 'fsdp': 4, 'tensor': 1, 'sequence': 1}
    step = found['runs']['full']['steps']['train']
    assert step['least_seconds'] == pytest.approx(
        max((step['flops'] + step['recomputed_flops']) / (4 * 197e12), step['bytes_read'] / 819e9)
    )


@needs_libtpu
@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--topology=v2:2x2'], 'the memory of a TPU v2 is not known here; name a topology of another TPU'),
        (['--topology=v9:2x2'], '--topology=v9:2x2: libtpu knows no such topology (Invalid TPU external name: TPU v9)'),
        (['--topology=tpu'], '--topology=tpu: libtpu knows no such topology'),
        (['--topology=v5e:3x5'], '--topology=v5e:3x5: libtpu knows no such topology'),
        (
            ['--topology=v5e:2x4', '--config.mesh.tensor=8'],
            'config.mesh.tensor is 8, which does not divide the 4 attention heads and 2 key and value heads',
        ),
        (['--topology=v5e:2x4', '--config.mesh.tensor=3'], 'does not fit 8 devices; the sizes must multiply to 8'),
    ],
)
def test_what_cannot_be_planned_is_one_line(arguments, said, tpu_devices):
    ended = start(DEMO, '--mode=plan', *arguments)
    assert ended.code == 2
    assert said in ended.error()


def test_without_libtpu_it_says_what_to_install(monkeypatch):
    from jaxshift.devices import topology
    from jaxshift.errors import InputError

    monkeypatch.setattr(topology.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match=r"needs libtpu.*pip install -e '\.\[plan\]'; or take --topology=devices"):
        topology.devices('v5e:4x4')


@pytest.mark.skipif(not WITHOUT, reason='libtpu is here')
def test_without_libtpu_a_start_is_one_line_and_exit_code_2():
    ended = planned(DEMO, '--topology=v5e:4x4')
    assert ended.returncode == 2
    assert ended.stderr.startswith('error: --topology=v5e:4x4 needs libtpu')
    assert len(ended.stderr.splitlines()) == 1
