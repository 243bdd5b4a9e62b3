"""Points of an analysis, which are kept until its figures are."""

from types import SimpleNamespace

import pytest

from jaxshift.explain import analysis
from jaxshift.store.paths import Workdir

POINTS = [{'step': 0}, {'step': 2}, {'step': 4}]


def worked(study, points):
    """What `each` says of the points, and the steps at which it had to work."""
    steps = []
    rows = analysis.each(study, 'lora', 'dynamics', points, lambda point: steps.append(point['step']) or {'loss': 1.0})
    return rows, steps


def test_a_stop_between_the_last_point_and_the_figures_loses_nothing(tmp_path):
    study = SimpleNamespace(workdir=Workdir(tmp_path), stop=SimpleNamespace(check=lambda: None))
    folder = study.workdir.causes('lora')
    folder.mkdir(parents=True)
    rows, steps = worked(study, POINTS)
    assert steps == [0, 2, 4]
    with pytest.raises(TypeError):  # what is no JSON stops it before it is written
        analysis.keep(study, 'lora', 'dynamics', {'points': object()})
    assert worked(study, POINTS) == (rows, [])
    analysis.keep(study, 'lora', 'dynamics', {'points': rows})
    assert [path.name for path in folder.iterdir()] == ['dynamics.json']
