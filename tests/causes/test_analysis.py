"""Points of an analysis, which are kept until its figures are."""

from types import SimpleNamespace

import pytest

from jaxshift.errors import Stopped
from jaxshift.explain import analysis, stage
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


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('truth', 'facts are known in the controlled world alone'),
        ('dynamics', 'config.sweep.steps names no checkpoints'),
        ('borrowing', 'there is no tuning data here'),
    ],
)
def test_what_a_study_cannot_ask_is_passed_over_aloud(name, reason):
    said = []
    experiment = SimpleNamespace(world=None, sweep=SimpleNamespace(steps=()))
    study = SimpleNamespace(experiment=experiment, data_sources={}, say=said.append)
    assert not stage.ANALYSES[name].applies(study)
    assert [line.startswith(f'{name}: passed over; {reason}') for line in said] == [True]


def test_a_stop_ends_the_stage_behind_the_analysis_that_it_is_at(tmp_path, monkeypatch):
    asked, done = [], []

    def check():
        if asked:
            raise Stopped('stopped')

    def do(name, run, settings, work, *more, **others):
        done.append(run)
        asked.append('a signal comes meanwhile')

    named = {
        name: analysis.Analysis(lambda study: True, lambda study, run: {}, lambda study, run: [])
        for name in ('weights', 'uncertainty')
    }
    monkeypatch.setattr(stage, 'ANALYSES', named)
    causes = SimpleNamespace(analyses=tuple(named), retrain=False)
    study = SimpleNamespace(
        experiment=SimpleNamespace(causes=causes), only=('lora', 'full'), ledger=SimpleNamespace(do=do),
        stop=SimpleNamespace(check=check),
    )  # fmt: skip
    with pytest.raises(Stopped):
        stage.explain_all(study)
    assert done == ['lora.weights']
