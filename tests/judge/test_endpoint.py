"""The judge behind an endpoint, against a loopback server that misbehaves: nothing imputed, lost or repeated."""

import dataclasses
import json
import time
from collections import Counter

import pytest
from stub import GOOD, Reply, Stub, completion, scores

from jaxshift import config
from jaxshift.devices.process import StopSignal
from jaxshift.judge import asking, endpoint
from jaxshift.judge.cache import Cache
from jaxshift.judge.endpoint import GIVE_UP, Endpoint
from jaxshift.judge.judgement import ASPECTS
from jaxshift.store import jsonl

REFUSAL = "I'm sorry, but I can't judge this text."
CASES = {  # what the judge's server does: its answers in turn, the last for ever; the outcome; requests
    'says what was asked': ([completion(GOOD)], 'scored', 1),
    'fences its object': ([completion(f'```json\n{GOOD}\n```')], 'scored', 1),
    'talks around it': ([completion(f'Here you are: {GOOD} Hope this helps!')], 'scored', 1),
    'talks only': ([completion('A fine answer. 5 stars!')], 'unparsed', 2),
    'breaks off': ([completion(GOOD[:-20])], 'unparsed', 2),
    'sends half a body': ([Reply(completion(GOOD).body[:-30])], 'unparsed', 2),
    'sends a page': ([Reply('<html>Bad gateway</html>', headers={'Content-Type': 'text/html'})], 'unparsed', 2),
    'has no choices': ([Reply('{"choices": []}')], 'unparsed', 2),
    'has no content': ([completion(None)], 'unparsed', 2),
    'goes to eleven': ([completion(scores(11, 4, 3, 2, 1))], 'unparsed', 2),
    'gives nought': ([completion(scores(0, 4, 3, 2, 1))], 'unparsed', 2),
    'halves points': ([completion(scores(4.5, 4, 3, 2, 1))], 'unparsed', 2),
    'spells numbers': ([completion(scores('four', 4, 3, 2, 1))], 'unparsed', 2),
    'knows other aspects': ([completion(scores(1, 2, aspects=('style', 'wit')))], 'unparsed', 2),
    'forgets one': ([completion(scores(5, 4, 3, 2))], 'unparsed', 2),
    'declines': ([completion(REFUSAL)], 'refused', 1),
    'declines in form': ([completion(None, refusal='no')], 'refused', 1),
    'mends it': ([completion('well'), completion(GOOD)], 'repaired', 2),
    'mends what it forgot': ([completion(scores(5, 4, 3, 2)), completion(GOOD)], 'repaired', 2),
    'declines to mend': ([completion('well'), completion(REFUSAL)], 'refused', 2),
    'is busy once': ([Reply('', 429), completion(GOOD)], 'scored', 2),
    'is busy and says how long': ([Reply('', 429, {'Retry-After': '0.4'}), completion(GOOD)], 'scored', 2),
    'is busy': ([Reply('', 429)], 'failed', 3),
    'breaks once': ([Reply('oops', 500), completion(GOOD)], 'scored', 2),
    'breaks': ([Reply('oops', 503)], 'failed', 3),
    'hangs up': ([Reply(completion(GOOD).body, cut=10)], 'failed', 3),
    'cannot take it': ([Reply('{"error": {"message": "too long"}}', 400)], 'failed', 1),
}
LOST = ('hangs up',)  # sent, so maybe paid for


def answer(said, times):
    replies = next(replies for what, (replies, _, _) in CASES.items() if f'it {what}.' in said)
    return replies[min(times, len(replies)) - 1]


def judge(stub, **changes):
    asked = config.Judge(
        kind='endpoint', model='m', base_url=stub.url, key_variable='', retries=2, backoff=0.01, timeout=60
    )
    return dataclasses.replace(asked, **changes)


def row(name):
    return {'example_id': name, 'prompt': 'What?', 'response': f'it {name}.'}


def ask_all(asked, path, names, stop=None):
    """Judgements by name, and the endpoint that gave them."""
    with Cache(path) as replies, Endpoint(asked, replies, stop or StopSignal()) as made:
        found = asking.every(
            lambda each: asking.score(made, each, ASPECTS), list(map(row, names)), asked.concurrency, StopSignal(),
            lambda done, total: None,
        )  # fmt: skip
    return {each.example_id: each for each in found}, made


def spent(path):
    """Calls and cost that a cache's lines add up to."""
    rows = jsonl.read(path)
    return sum(row['calls'] for row in rows), sum(row['cost'] for row in rows)


@pytest.fixture(scope='module')
def judged(tmp_path_factory):
    """Every case by one judge: (judgements, endpoint, stub, cache's file)."""
    path = tmp_path_factory.mktemp('judge') / 'cache.jsonl'
    with Stub(answer) as stub:
        found, made = ask_all(judge(stub), path, CASES)
        yield found, made, stub, path


@pytest.mark.parametrize('name', CASES)
def test_every_answer_has_its_outcome_and_nothing_is_imputed(judged, name):
    found, _, stub, _ = judged
    replies, outcome, requests = CASES[name]
    assert found[name].outcome == outcome
    assert stub.count(f'it {name}.') == requests
    read = outcome in ('scored', 'repaired')
    assert found[name].scores == dict(zip(ASPECTS, (5, 4, 3, 2, 1) if read else [None] * 5, strict=True))
    assert found[name].reasons == ({aspect: f'on {aspect}' for aspect in ASPECTS} if read else {})


def test_replies_are_kept_as_they_came(judged):
    found = judged[0]
    assert found['mends it'].raw == ('well', GOOD)
    assert found['sends a page'].raw == ('<html>Bad gateway</html>',) * 2
    assert found['declines in form'].raw == ('no',)
    assert found['breaks'].raw == ()


def test_the_judge_is_told_what_could_not_be_read(judged):
    stub = judged[2]
    first, second = (each['messages'] for each in stub.requests if 'it mends it.' in each['messages'][1]['content'])
    assert second[:2] == first
    assert second[2] == {'role': 'assistant', 'content': 'well'}
    assert second[3]['role'] == 'user'


def test_counts_are_those_of_the_server(judged):
    _, made, stub, path = judged
    assert made.events['asked'] == len(stub.requests) == sum(requests for _, _, requests in CASES.values())
    reasons = {'HTTP 429': 1, 'HTTP 503': 1, 'HTTP 400': 1, 'connection failed': 1}
    assert {event: count for event, count in made.events.items() if event != 'asked'} == reasons
    sent = Counter(each['model'] for each in stub.requests)
    assert sent == {'m': len(stub.requests)}
    replied = sum(
        reply.status == 200
        for replies, _, requests in CASES.values()
        for reply in (replies * requests if len(replies) == 1 else replies)
    )
    assert spent(path)[0] == made.budget.calls == replied
    assert len(jsonl.read(path)) == 2 * len(stub.requests) - sum(CASES[name][2] for name in LOST)


def test_a_restart_asks_again_only_what_had_no_reply(judged):
    found, made, stub, path = judged
    before = len(stub.requests)
    again, restarted = ask_all(judge(stub), path, CASES)
    assert again == found
    failed = [name for name, (_, outcome, _) in CASES.items() if outcome == 'failed']
    assert all(
        any(f'it {name}.' in each['messages'][1]['content'] for name in failed) for each in stub.requests[before:]
    )
    assert len(stub.requests) - before == sum(CASES[name][2] for name in failed)
    assert restarted.events['cached'] == sum(len(each.raw) for each in found.values())


def test_waits_as_long_as_the_server_asks(tmp_path):
    with Stub(answer) as stub:
        begun = time.monotonic()
        ask_all(judge(stub), tmp_path / 'c', ['is busy and says how long'])
    assert time.monotonic() - begun >= 0.4


@pytest.mark.parametrize(
    ('header', 'seconds'),
    [('7', 7), ('0.5', 0.5), ('-3', 0), ('nan', 0), ('soon', 0), ('', 0),
     ('Thu, 01 Jan 1970 00:02:00 GMT', 20), ('Thu, 01 Jan 1970 00:00:10 GMT', 0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert endpoint.retry_after(header, 100.0) == seconds


def test_who_asks_for_too_much_patience_is_not_waited_for(tmp_path):
    names = [f'n{number}' for number in range(GIVE_UP + 5)]
    with Stub(lambda said, times: Reply('', 429, {'Retry-After': '86400'})) as stub:
        found, made = ask_all(judge(stub, concurrency=1), tmp_path / 'c', names)
    assert {each.outcome for each in found.values()} == {'failed'}
    assert made.events['HTTP 429, to be asked again in 86400 s'] == len(stub.requests) == GIVE_UP


def test_a_question_asked_twice_at_the_same_time_is_paid_for_once(tmp_path):
    with Stub(lambda said, times: completion(GOOD)._replace(wait=0.3)) as stub:
        _, made = ask_all(judge(stub, concurrency=4), tmp_path / 'c', ['same'] * 4)
        assert len(stub.requests) == 1
    assert made.events == {'asked': 1, 'cached': 3}


def test_a_server_that_never_replies_is_given_up(tmp_path):
    names = [f'n{number}' for number in range(GIVE_UP + 5)]
    with Stub(lambda said, times: Reply('', 500)) as stub:
        found, made = ask_all(judge(stub, retries=0, concurrency=1), tmp_path / 'c', names)
        assert len(stub.requests) == GIVE_UP
    assert {each.outcome for each in found.values()} == {'failed'}
    assert made.events[f'not asked, after {GIVE_UP} calls in a row without a reply'] == 5


def test_no_server_costs_nothing(tmp_path):
    with Stub(answer) as stub:
        asked = judge(stub, retries=0)
    found, made = ask_all(asked, tmp_path / 'c', ['x'])
    assert found['x'].outcome == 'failed'
    assert made.budget.calls == made.budget.cost == 0
    assert spent(tmp_path / 'c') == (0, 0)


def test_another_model_or_temperature_is_another_question(tmp_path):
    with Stub(answer) as stub:
        for changes in ({}, {}, {'model': 'n'}, {'temperature': 1.0}, {'max_tokens': 5}):
            ask_all(judge(stub, **changes), tmp_path / 'c', ['says what was asked'])
        assert len(stub.requests) == 4
        sent = {(each['model'], each['temperature'], each['max_tokens']) for each in stub.requests}
    assert sent == {('m', 0.0, 1024), ('n', 0.0, 1024), ('m', 1.0, 1024), ('m', 0.0, 5)}


def test_a_stop_asks_nothing_more(tmp_path):
    stop = StopSignal()
    stop.requested = True
    with Stub(answer) as stub:
        found, _ = ask_all(judge(stub), tmp_path / 'c', ['says what was asked'], stop)
        assert stub.requests == []
    assert found['says what was asked'].outcome == 'failed'


def test_half_a_surrogate_pair_is_kept_in_letters(tmp_path):
    body = json.dumps({'choices': [{'message': {'content': GOOD + '\ud83d'}}]})
    with Stub(lambda said, times: Reply(body)) as stub:
        found, _ = ask_all(judge(stub), tmp_path / 'c', ['x\udc00'])
    assert found['x\udc00'].raw == (GOOD + '\\ud83d',)
