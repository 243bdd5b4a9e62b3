import jax
import pytest

from jaxshift.config import Process
from jaxshift.devices import cluster
from jaxshift.devices.cluster import _arguments, join
from jaxshift.errors import InputError

NO_TPU = {'TPU_SKIP_MDS_QUERY': '1'}  # as JAX sets it
SLURM = NO_TPU | {'SLURM_STEP_NODELIST': 'n[1-2]', 'SLURM_NTASKS': '16', 'SLURM_PROCID': '3'}
WHOLE = {'coordinator_address': 'host:1', 'num_processes': 4, 'process_id': 3, 'cluster_detection_method': 'deactivate'}


@pytest.mark.parametrize(
    'environment',
    [
        NO_TPU,
        SLURM | {'SLURM_NTASKS': '1'},
        {'JAX_PLATFORMS': 'cpu', 'TPU_WORKER_HOSTNAMES': 'a,b'},
        NO_TPU | {'SLURM_NTASKS': '16'},  # a script of sbatch, outside of srun
        NO_TPU | {'TPU_WORKER_HOSTNAMES': 'localhost'},
    ],
)
def test_a_process_by_itself_starts_nothing(environment):
    assert _arguments(Process(), environment) is None


@pytest.mark.parametrize('environment', [SLURM, NO_TPU | {'TPU_WORKER_HOSTNAMES': 'a,b'}, {}])
def test_what_jax_can_find_is_left_to_it_unless_the_config_says_alone(environment):
    assert _arguments(Process(), environment) == {}
    assert _arguments(Process(count=1), environment) is None


def test_the_config_goes_before_the_environment():
    environment = NO_TPU | {'JAX_COORDINATOR_ADDRESS': 'host:1', 'JAX_NUM_PROCESSES': '4', 'JAX_PROCESS_ID': '3'}
    assert _arguments(Process(), environment) == WHOLE
    assert _arguments(Process(coordinator='other:2', index=0), environment) == WHOLE | {
        'coordinator_address': 'other:2',
        'process_id': 0,
    }
    assert _arguments(Process(coordinator='host:1', count=4, index=3), SLURM) == WHOLE


def test_a_number_alone_is_refused_as_two_starts_would_write_one_workdir(monkeypatch):
    monkeypatch.setattr(cluster.os, 'environ', NO_TPU)
    with pytest.raises(InputError, match='one of several processes, .* config.process.coordinator, count and index'):
        join(Process(index=1))


@pytest.mark.parametrize('changed', [{'JAX_PROCESS_ID': '4'}, {'JAX_NUM_PROCESSES': 'four'}])
def test_odd_numbers_in_the_environment_are_refused(changed):
    environment = {'JAX_COORDINATOR_ADDRESS': 'host:1', 'JAX_NUM_PROCESSES': '4', 'JAX_PROCESS_ID': '3'} | changed
    with pytest.raises(InputError, match='4|four'):
        _arguments(Process(), environment)


def test_a_start_by_itself_asks_nobody(monkeypatch):
    monkeypatch.setattr(jax.distributed, 'initialize', lambda **told: pytest.fail(str(told)))
    for name in ('JAX_COORDINATOR_ADDRESS', 'SLURM_STEP_NODELIST', 'OMPI_COMM_WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    join(Process())
