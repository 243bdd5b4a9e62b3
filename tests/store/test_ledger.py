import hashlib
import json

import pytest

from jaxshift.errors import InputError
from jaxshift.store import manifest
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

    def result(self, run='a', **settings):
        return self._ledger.result('respond', run, settings)


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path)
    assert made.do({'rate': 0.1, 'targets': ('q', 'v')}) == ['clear', 'work']
    return made


def hash_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def fail():
    raise RuntimeError


def test_work_that_was_cut_off_goes_on_without_clearing(stage):
    with pytest.raises(RuntimeError):
        stage.do(OTHER, fail)
    assert stage.happened == ['clear']
    assert stage.do(OTHER) == ['work']
    assert stage.do(OTHER) == []


def test_work_that_was_cut_off_under_other_settings_is_cleared(stage):
    with pytest.raises(RuntimeError):
        stage.do(OTHER, fail)
    assert stage.do(SAME) == ['clear', 'work']


@pytest.mark.parametrize('content', ['', '{"settings"', '{}', '[]', 'null'])
def test_a_damaged_record_counts_as_not_done(stage, content):
    stage.record.write_text(content)
    assert stage.do(SAME) == ['clear', 'work']
    assert json.loads(stage.record.read_text())['files']


def test_the_result_of_a_finished_stage_is_its_files(stage):
    files = stage.result()
    assert list(files) == ['runs/a/out.txt']
    assert files['runs/a/out.txt']['bytes'] == len('result')


def test_a_stage_that_is_not_finished_has_no_result(stage):
    with pytest.raises(InputError, match='respond b is not finished; --mode=run does what is missing'):
        stage.result('b')
    with pytest.raises(RuntimeError):
        stage.do(OTHER, fail)
    with pytest.raises(InputError, match='respond a is not finished'):
        stage.result()


def test_a_result_of_other_settings_is_refused(stage):
    stage.result(rate=0.1)
    stage.result(targets=('q', 'v'))
    with pytest.raises(InputError, match=r'respond a was made with another rate \(0.1, now 0.2\); --mode=run'):
        stage.result(rate=0.2)
    with pytest.raises(InputError, match=r'respond a was made with another epochs \(None, now 3\); --mode=run'):
        stage.result(epochs=3)


def test_a_damaged_result_is_refused(stage, tmp_path):
    stage.file.write_text('resulT')
    later = Stage(tmp_path)  # as the next start sees it
    with pytest.raises(InputError, match='respond a: runs/a/out.txt is damaged; --mode=run makes it again'):
        later.result()


def test_files_are_verified_once_a_process(stage, tmp_path, monkeypatch):
    verified = []
    monkeypatch.setattr(manifest, '_sha256', lambda path: verified.append(path) or hash_of(path))
    later = Stage(tmp_path)
    for _ in range(2):
        later.result()
    assert verified == [stage.file]
    again = Stage(tmp_path)
    again.do(SAME)
    again.result()
    assert verified == [stage.file] * 2


def test_a_nested_change_is_named_with_its_path(stage):
    stage.do({'run': {'clip': 1.0, 'b1': 0.9}})
    stage.do({'run': {'clip': 0.5, 'b1': 0.9}})
    assert stage.said == ['respond a: run.clip (1.0, now 0.5) has changed; doing it again']
