"""What a judge may spend: never more than the limits, over all starts, and told to the last token."""

import pytest
from stub import GOOD, Stub, completion
from test_endpoint import ask_all, judge

from jaxshift.judge.budget import FRAME, Budget
from jaxshift.judge.cache import Cache
from jaxshift.store import jsonl

NAMES = [f'n{number}' for number in range(6)]


def test_no_more_calls_than_allowed_over_all_starts(tmp_path):
    with Stub(lambda said, times: completion(GOOD)) as stub:
        found, made = ask_all(judge(stub, max_calls=4), tmp_path / 'c', NAMES)
        assert sorted(each.outcome for each in found.values()) == ['failed'] * 2 + ['scored'] * 4
        assert len(stub.requests) == made.budget.calls == 4
        assert made.events['not asked, the budget is spent'] == 2
        assert ask_all(judge(stub, max_calls=4), tmp_path / 'c', NAMES)[0] == found
        assert len(stub.requests) == 4
        found, _ = ask_all(judge(stub, max_calls=6), tmp_path / 'c', NAMES)
        assert {each.outcome for each in found.values()} == {'scored'}
        assert len(stub.requests) == 6


def test_no_more_cost_than_allowed_over_all_starts(tmp_path):
    prices = {'input_price': 10.0, 'output_price': 30.0, 'max_tokens': 20}
    each = (100 * 10 + 20 * 30) / 1e6  # as the stub counts tokens
    with Stub(lambda said, times: completion(GOOD)) as stub:
        ask_all(judge(stub, **prices), tmp_path / 'all', NAMES)
        read = sum(len(message['content']) + FRAME for message in stub.requests[0]['messages'])
        most = (read * 10 + 20 * 30) / 1e6
        limit = 2 * each + most  # after two calls a third could still cost the most
        before = len(stub.requests)
        found, made = ask_all(judge(stub, max_cost=limit, **prices), tmp_path / 'c', NAMES)
        done = len(stub.requests) - before
    assert 1 <= done <= 3  # several on their way at once hold back more
    assert made.budget.cost == pytest.approx(done * each)
    assert sum(row['cost'] for row in jsonl.read(tmp_path / 'c')) == pytest.approx(done * each)
    assert [each.outcome for each in found.values()].count('scored') == done


def test_calls_on_their_way_at_a_kill_are_spent(tmp_path):
    limit = {'max_calls': 3, 'max_cost': 1.0, 'input_price': 1.0}
    with Stub(lambda said, times: completion(GOOD)) as stub:
        with Cache(tmp_path / 'c') as replies:  # as a kill leaves it, amid two calls that could cost 0.4 each
            replies.sent('x', 'm', 0.4)
            replies.sent('y', 'm', 0.4)
        found, made = ask_all(judge(stub, **limit), tmp_path / 'c', NAMES)
        assert len(stub.requests) == 1
        assert made.budget.calls == 3
        assert made.budget.cost == pytest.approx(0.8 + 100 / 1e6)
        ask_all(judge(stub, **limit | {'max_calls': 0, 'max_cost': 0.8}), tmp_path / 'c', NAMES)
        assert len(stub.requests) == 1
    assert [each.outcome for each in found.values()].count('failed') == 5


def test_a_reply_that_does_not_tell_its_tokens_counts_at_the_most(tmp_path):
    with Stub(lambda said, times: completion(GOOD, usage=None)) as stub:
        _, made = ask_all(judge(stub, input_price=1.0, max_tokens=7), tmp_path / 'c', ['x'])
        read = sum(len(message['content']) + FRAME for message in stub.requests[0]['messages'])
    assert made.budget.unmetered == 1
    assert made.budget.cost == pytest.approx(read / 1e6)


def test_what_is_on_its_way_is_spent_already():
    budget = Budget(0, 2.5, (0.0, 1e6))
    first, second = (budget.reserve([], 1) for _ in range(2))
    assert first == second == 1.0
    assert budget.reserve([], 1) is None
    budget.release(first)
    assert budget.reserve([], 1) == 1.0
    assert budget.settle(second, {'prompt_tokens': 9, 'completion_tokens': 0}) == 0.0
    assert (budget.cost, budget.calls) == (1.0, 2)
