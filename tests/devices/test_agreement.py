"""What processes hear of each other, over a stand-in for the key-value store of JAX's coordination service."""

import itertools
import os

import jax
import pytest

from jaxshift.devices import process
from jaxshift.errors import InputError, RunFailed
from jaxshift.store import paths
from jaxshift.store.ledger import Ledger


class Store(dict):
    """The client of a process, of which all share the values; waiting for what nobody sets is a failure."""

    def key_value_set(self, key, value, allow_overwrite=False):
        if key in self and not allow_overwrite:
            raise jax.errors.JaxRuntimeError('ALREADY_EXISTS')
        self[key] = value

    def key_value_try_get(self, key):
        if key not in self:
            raise jax.errors.JaxRuntimeError('NOT_FOUND')
        return self[key]

    def blocking_key_value_get(self, key, milliseconds):
        self.waited = getattr(self, 'waited', 0) + (key not in self)
        assert self.waited < 5, f'nobody sets {key}'
        if key not in self:
            raise jax.errors.JaxRuntimeError('DEADLINE_EXCEEDED')
        return self[key]

    def key_value_delete(self, key):
        for each in [each for each in self if each == key or each.startswith(f'{key}/')]:
            del self[each]


@pytest.fixture
def act(monkeypatch):
    """Makes this process one of three; what it does is its first turn."""
    store = Store()
    monkeypatch.setattr(process.distributed.global_state, 'client', store)
    monkeypatch.setattr(jax, 'process_count', lambda: 3)
    monkeypatch.setattr(process, 'patience', 0.0)

    def be(index):
        monkeypatch.setattr(jax, 'process_index', lambda: index)
        monkeypatch.setattr(process, '_turns', itertools.count())
        return store

    return be


def come(act, index, value):
    """Another process leaves its value and waits for the leader, in vain."""
    act(index)
    with pytest.raises(AssertionError, match='nobody sets'):
        process.agree('data', value, max)
    act(0).waited = 0


def test_the_leader_judges_what_all_bring_and_the_others_hear_it(act):
    come(act, 1, 7)
    come(act, 2, 5)
    assert process.agree('data', 6, lambda values: values) == [6, 7, 5]
    assert list(act(0).values()) == ['[6, 7, 5]']  # what was brought is cleared away


def test_who_has_not_come_is_named(act):
    come(act, 1, 7)
    with pytest.raises(RunFailed, match='data: process 2 of 3 has not come within 0 s; .* same command again'):
        process.agree('data', 6, max)


def test_the_leaders_word_reaches_the_others(act):
    act(0)
    assert process.by_leader('look', lambda: [1, None]) == [1, None]
    act(2)
    assert process.by_leader('look', lambda: pytest.fail('the leader alone works')) == [1, None]


@pytest.mark.parametrize('index', [0, 1])
def test_those_who_wait_hear_why_another_has_ended(act, index, monkeypatch):
    monkeypatch.setattr(process, 'patience', 600.0)
    act(2)
    process.failed(InputError('data.json: no such file'))
    act(index)
    with pytest.raises(InputError, match='process 2: data.json: no such file'):
        process.together('data')


def test_the_leader_hears_of_it_before_the_next_step(act):
    act(1)
    process.failed(OSError('no space left'))
    act(0)
    with pytest.raises(RunFailed, match='process 1: OSError: no space left'):
        process.StopSignal().agreed()


def test_an_error_of_the_runtime_gives_way_to_the_one_that_caused_it(act):
    act(1)
    process.failed(InputError('the first'))
    act(2)
    with pytest.raises(InputError, match='process 1: the first'):
        process.failed(jax.errors.JaxRuntimeError('connection closed by peer'))
    process.failed(RunFailed('a later one'))
    assert 'the first' in act(0)['jaxshift/failed']


def test_a_request_of_one_to_stop_stops_all(act):
    act(1)
    asked = process.StopSignal()
    asked.requested = True
    with pytest.raises(AssertionError, match='nobody sets'):
        asked.agreed()
    act(0).waited = 0
    assert process.StopSignal().agreed()
    act(2)
    assert process.StopSignal().agreed()


def test_processes_may_name_the_workdir_each_in_its_own_way(act, tmp_path):
    (tmp_path / 'work').mkdir()
    os.symlink(tmp_path / 'work', tmp_path / 'mounted')
    paths.write_json(paths.Workdir(tmp_path / 'work').done('sweep'), {'settings': {}, 'files': {}})
    for index, name in enumerate(('work', 'mounted')):
        act(index)
        assert Ledger(paths.Workdir(tmp_path / name), print).result('sweep', '', {}) == {}
