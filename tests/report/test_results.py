import shutil

import pytest

from jaxshift.errors import InputError
from jaxshift.report import results
from jaxshift.store.paths import Workdir


def test_damage_is_named(workdir, tmp_path):
    with pytest.raises(InputError, match=r'experiment\.json'):
        results.load(Workdir(tmp_path))
    shutil.copy(workdir / 'experiment.json', tmp_path)
    with pytest.raises(InputError, match='run the sweep'):
        results.load(Workdir(tmp_path))
    shutil.copytree(workdir / 'runs', tmp_path / 'runs')
    with (tmp_path / 'runs/full/metrics.jsonl').open('a') as file:
        file.write('{"step": \n')
    with pytest.raises(InputError, match=r'metrics\.jsonl:21'):
        results.load(Workdir(tmp_path))
