import json

import pytest

from jaxshift.errors import InputError
from jaxshift.store.ledger import Ledger
from jaxshift.store.paths import Workdir


class Stage:
    """One stage of a workdir, with a log of what happened."""

    def __init__(self, root):
        self.said, self.happened = [], []
        self.file = root / 'runs' / 'a' / 'out.txt'
        self.record = root / 'done' / 'respond-a.json'
        self._ledger = Ledger(Workdir(root), self.said.append)

    def work(self):
        self.happened.append('work')
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text('result')
        return [self.file]

    def clear(self):
        self.happened.append('clear')

    def do(self, settings, work=None, dear=False):
        """What happened in this start."""
        self.happened.clear()
        self.said.clear()
        self._ledger.do('respond', 'a', settings, work or self.work, None if dear else self.clear)
        return list(self.happened)


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path)
    assert made.do({'rate': 0.1, 'targets': ('q', 'v')}) == ['clear', 'work']
    return made


SAME = {'rate': 0.1, 'targets': ('q', 'v')}
OTHER = {'rate': 0.2, 'targets': ('q', 'v')}


def test_what_is_done_is_not_done_again(stage):
    assert stage.do(SAME) == []
    assert stage.said == ['respond a: done before']


def test_another_setting_does_it_again_on_cleared_ground(stage):
    assert stage.do(OTHER) == ['clear', 'work']
    assert stage.said == ['respond a: rate (0.1, now 0.2) has changed; doing it again']
    assert stage.do(OTHER) == []


def test_what_is_dear_is_not_thrown_away_unasked(stage):
    with pytest.raises(InputError) as caught:
        stage.do(OTHER, dear=True)
    assert 'respond a was made with another rate (0.1, now 0.2); give another --workdir, or remove' in str(caught.value)
    assert str(stage.record) in str(caught.value)
    assert stage.happened == []
    assert stage.file.read_text() == 'result'
    assert stage.do(SAME, dear=True) == []


@pytest.mark.parametrize('dear', [False, True])
def test_damaged_output_is_made_again(stage, dear):
    stage.file.write_text('resulT')
    assert stage.do(SAME, dear=dear) == (['work'] if dear else ['clear', 'work'])
    assert stage.said == ['respond a: runs/a/out.txt is damaged; doing it again']
    assert stage.file.read_text() == 'result'
    stage.file.unlink()
    stage.do(SAME, dear=dear)
    assert stage.said == ['respond a: runs/a/out.txt is missing; doing it again']


def test_work_that_was_cut_off_goes_on_without_clearing(stage):
    def fail():
        stage.happened.append('half')
        raise RuntimeError

    with pytest.raises(RuntimeError):
        stage.do(OTHER, fail)
    assert stage.happened == ['clear', 'half']
    assert stage.do(OTHER) == ['work']
    assert stage.do(OTHER) == []


def test_work_that_was_cut_off_under_other_settings_is_cleared(stage):
    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        stage.do(OTHER, fail)
    assert stage.do(SAME) == ['clear', 'work']


@pytest.mark.parametrize('content', ['', '{"settings"', '{}', '[]', 'null'])
def test_a_damaged_record_counts_as_not_done(stage, content):
    stage.record.write_text(content)
    assert stage.do(SAME) == ['clear', 'work']
    assert json.loads(stage.record.read_text())['files']


def test_a_nested_change_is_named_with_its_path(stage):
    stage.do({'run': {'clip': 1.0, 'b1': 0.9}})
    stage.do({'run': {'clip': 0.5, 'b1': 0.9}})
    assert stage.said == ['respond a: run.clip (1.0, now 0.5) has changed; doing it again']
