"""A call by itself: how long it may take, and the key it needs."""

import time

import pytest
from stub import GOOD, Stub, completion
from test_endpoint import answer, ask_all, judge, spent

from jaxshift.errors import InputError
from jaxshift.store import jsonl


def test_a_server_that_does_not_answer_is_left_after_its_time(tmp_path):
    with Stub(lambda said, times: completion(GOOD)._replace(wait=5.0 if times == 1 else 0.0)) as stub:
        found, made = ask_all(judge(stub, timeout=1.0), tmp_path / 'c', ['slow'])
        assert found['slow'].outcome == 'scored'
        assert len(stub.requests) == 2
        assert made.budget.calls == spent(tmp_path / 'c')[0] == 2  # the one that was left may be paid for
        assert ['reply' in row for row in jsonl.read(tmp_path / 'c')] == [False, False, True]
        found, made = ask_all(judge(stub, timeout=1.0, retries=0, model='other'), tmp_path / 'd', ['late'])
    assert found['late'].outcome == 'failed'
    assert made.events == {'asked': 1, 'time-out': 1}


@pytest.mark.parametrize('drip', [(0.05, 0.0), (0.0, 0.05)], ids=['head', 'body'])
def test_a_server_that_drips_bytes_is_left_after_the_time_of_the_whole_call(tmp_path, drip):
    with Stub(lambda said, times: completion(GOOD)._replace(drip=drip)) as stub:
        begun = time.monotonic()
        found, made = ask_all(judge(stub, timeout=1.0, retries=0), tmp_path / 'c', ['dripping'])
        took = time.monotonic() - begun
        assert len(stub.requests) == 1
        assert stub.answered == []
    assert found['dripping'].outcome == 'failed'
    assert made.events == {'asked': 1, 'time-out': 1}
    assert spent(tmp_path / 'c')[0] == 1  # it may be billed
    assert took < 0.05 * len(completion(GOOD).body) / 2


def test_the_key_is_needed_only_where_something_is_asked(tmp_path, monkeypatch):
    monkeypatch.delenv('NO_SUCH_KEY', raising=False)
    with Stub(answer) as stub:
        names = ['says what was asked']
        first, _ = ask_all(judge(stub), tmp_path / 'c', names)
        assert ask_all(judge(stub, key_variable='NO_SUCH_KEY'), tmp_path / 'c', names)[0] == first
        with pytest.raises(InputError, match='the environment has no NO_SUCH_KEY'):
            ask_all(judge(stub, key_variable='NO_SUCH_KEY'), tmp_path / 'c', ['breaks'])
