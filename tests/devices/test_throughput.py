import time
import types

import jax
import jax.numpy as jnp
import pytest

from jaxshift.devices import throughput
from jaxshift.devices.chips import GIB, Chip, chip
from jaxshift.errors import InputError


def device(kind, platform='gpu', coords=None, told=None):
    return types.SimpleNamespace(
        device_kind=kind, platform=platform, coords=coords, memory_stats=lambda: None if told is None else told
    )


def test_utilisation_is_the_share_of_the_peak_of_all_devices(monkeypatch):
    monkeypatch.setattr(throughput, 'chip', lambda devices: Chip(1, 'a test', flops=1e12))
    monkeypatch.setattr(time, 'perf_counter', iter([10.0, 14.0, 20.0, 21.0]).__next__)
    meter = throughput.Meter([None, None])
    meter.add(300, 1e12)
    meter.add(500, 3e12)
    found = meter.read()
    assert found['tokens_per_second'] == 800 / 4
    assert found['mfu'] == pytest.approx(4e12 / (4 * 2 * 1e12))
    meter.restart()
    meter.add(7, 0)
    assert meter.read()['tokens_per_second'] == 7


def test_what_a_cpu_does_not_tell_is_none():
    found = throughput.Meter(jax.devices()).read()
    assert (found['mfu'], found['peak_memory_bytes']) == (None, None)


def test_peak_memory_is_that_of_the_fullest_device(monkeypatch):
    told = [device('a', told={'peak_bytes_in_use': 5}), device('a', told={'peak_bytes_in_use': 9})]
    monkeypatch.setattr(jax, 'local_devices', lambda: told)
    assert throughput.Meter(jax.devices()).read()['peak_memory_bytes'] == 9


@pytest.mark.parametrize(
    ('kind', 'flops', 'memory'),
    [
        ('NVIDIA A100 80GB PCIe', 312e12, 79.2),
        ('NVIDIA H100 NVL', 835e12, 93.1),
        ('NVIDIA H100 80GB HBM3', 989e12, 79.1),
        ('NVIDIA H100 PCIe', 756e12, 79.1),
        ('NVIDIA A100-SXM4-40GB', 312e12, 39.4),
        ('NVIDIA A100-SXM4-80GB', 312e12, 79.2),
    ],
)
def test_gpus_are_known_by_the_beginning_of_their_name(kind, flops, memory):
    found = chip([device(kind)])
    assert (found.flops, found.memory) == (flops, int(memory * GIB))


def test_a_tpu_v4_is_one_device_or_two():
    joined = chip([device('TPU v4', 'tpu', (0, 0, 0)), device('TPU v4', 'tpu', (1, 0, 0))])
    cores = chip([device('TPU v4', 'tpu', (0, 0, 0)), device('TPU v4', 'tpu', (0, 0, 0))])
    assert joined.flops == 275e12 == 2 * cores.flops
    assert joined.memory == 2 * cores.memory


def test_slices_share_coordinates_and_no_chips():
    slices = [types.SimpleNamespace(**vars(device('TPU v5 lite', 'tpu', (0, 0, 0))), slice_index=i) for i in (0, 1)]
    assert chip(slices) == chip(slices[:1])


def test_an_absent_tpu_of_unknown_memory_is_refused():
    with pytest.raises(InputError, match='memory of a TPU v2 is not known'):
        chip([device('TPU v2', 'tpu', (0, 0, 0))])


def test_a_device_that_is_here_says_how_much_memory_it_gives():
    assert chip([device('NVIDIA H200', told={'bytes_limit': 100})]).memory == 100


def test_a_trace_is_of_three_steps_after_the_first(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(jax.profiler, 'start_trace', lambda folder: calls.append(('start', folder)))
    monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: calls.append('stop'))
    trace = throughput.Trace(tmp_path)
    for step in range(6):
        trace.before()
        calls.append(step)
        trace.after(jnp.zeros(1))
    trace.close()
    assert calls == [0, ('start', tmp_path), 1, 2, 3, 'stop', 4, 5]


def test_a_trace_of_a_short_training_is_ended(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(jax.profiler, 'start_trace', lambda folder: calls.append('start'))
    monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: calls.append('stop'))
    trace = throughput.Trace(tmp_path)
    for _ in range(2):
        trace.before()
        trace.after(None)
    trace.close()
    assert calls == ['start', 'stop']


def test_a_trace_is_a_file_that_profilers_read(tmp_path):
    trace = throughput.Trace(tmp_path)
    for _ in range(5):
        trace.before()
        trace.after(jnp.ones(3) + 1)
    trace.close()
    assert len(list(tmp_path.rglob('*.xplane.pb'))) == 1
