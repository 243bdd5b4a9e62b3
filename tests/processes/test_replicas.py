"""The sweep under pmap, on eight virtual devices, has the numbers of the one under jit."""

from pathlib import Path

import numpy as np
import pytest
from commandline import DEMO, start
from virtual import run

from jaxshift.shift import records


def test_the_sweep_under_pmap_is_that_under_jit(tmp_path):
    run(Path(__file__).with_name('eight_replicas.py'), tmp_path)
    jit, pmap = (records.read(tmp_path / spmd) for spmd in ('jit', 'pmap'))
    assert jit.num_rows == 2 * sum(20 - number for number in range(11))
    assert len(set(jit['template'].to_pylist())) == 2
    for name in jit.column_names:
        one, other = jit[name].to_pylist(), pmap[name].to_pylist()
        if name in records.LISTS or isinstance(one[0], float):
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            assert other == one, name


@pytest.mark.parametrize('axis', ['fsdp', 'tensor', 'sequence'])
def test_pmap_is_refused_where_the_mesh_cuts_parameters_or_rows(axis, tmp_path):
    ended = start(DEMO, '--config.sweep.spmd=pmap', f'--config.mesh.{axis}=2', f'--workdir={tmp_path / "work"}')
    assert ended.code == 2
    assert f'config.sweep.spmd is pmap, which needs all parameters on every device, but config.mesh.{axis} is 2' in (
        ended.error()
    )
    assert not (tmp_path / 'work').exists()
