"""Reading a judge's reply: what was asked for, or nothing."""

import json

import pytest

from jaxshift.judge import reply

TWO = ('clarity', 'depth')
GOOD = '{"clarity": {"reason": "plain", "score": 4}, "depth": {"reason": "thin", "score": 2}}'
READ = {'clarity': (4, 'plain'), 'depth': (2, 'thin')}


@pytest.mark.parametrize(
    'text',
    [
        GOOD,
        f'```json\n{GOOD}\n```',
        f'Here it is:\n{GOOD}\nI hope that helps.',
        f'{GOOD} As I said: {GOOD}',
        f'{{"score": 3}} is the form. {GOOD}',
        f'<think>First {GOOD.replace("4", "1")}, or rather</think>{GOOD}',
        GOOD.replace('2}', '2.0}'),
        GOOD.replace('{"clarity"', '{"overall": 9, "clarity"'),
    ],
)
def test_one_object_with_all_scores_is_read_wherever_it_stands(text):
    assert reply.scores(text, TWO) == READ


def test_a_reason_may_be_left_out():
    assert reply.scores('{"clarity": 4, "depth": {"score": 2}}', TWO) == {'clarity': (4, ''), 'depth': (2, '')}


@pytest.mark.parametrize(
    'text',
    [
        '',
        '4 and 2',
        'null',
        '[4, 2]',
        GOOD[:-1],
        GOOD[:40],
        GOOD.replace('2}', '0}'),
        GOOD.replace('2}', '6}'),
        GOOD.replace('2}', '2.5}'),
        GOOD.replace('2}', '"2"}'),
        GOOD.replace('2}', 'null}'),
        GOOD.replace('2}', 'true}'),
        GOOD.replace('2}', 'NaN}'),
        GOOD.replace('2}', '1e999}'),
        GOOD.replace('2}', '1' * 5000 + '}'),
        GOOD.replace('2}', '[2]}'),
        GOOD.replace('depth', 'width'),
        GOOD.replace('depth', 'Depth'),
        GOOD.replace('depth', 'clarity'),
        GOOD.replace('2}', '2, "score": 5}'),
        f'{GOOD} Or: {GOOD.replace("4", "5")}',  # nobody knows which is meant
        json.dumps({'scores': json.loads(GOOD)}),
        '{"a":' * 50_000,
    ],
)
def test_anything_else_is_nothing(text):
    assert reply.scores(text, TWO) is None


@pytest.mark.parametrize(
    ('text', 'read'),
    [
        ('{"reason": "fuller", "winner": "A"}', ('A', 'fuller')),
        ('So: {"winner": "C"}', ('C', '')),
        ('{"winner": "D"}', None),
        ('{"winner": ["A"]}', None),
        ('A', None),
        ('{"winner": "A"} {"winner": "B"}', None),
    ],
)
def test_a_verdict_is_one_of_three_letters(text, read):
    assert reply.winner(text) == read


@pytest.mark.parametrize(
    'text',
    [
        "I'm sorry, but I can't help with that.",
        'I’m sorry, I cannot.',
        'Sorry, no.',
        'I cannot score this response.',
        "I can't do that",
        'As an AI, I do not judge.',
        'I must decline.',
        '<think>Shall I or not?</think>I cannot judge this.',
        'I am unable to rate this.',
    ],
)
def test_declining_is_told(text):
    assert reply.is_refusal(text)


@pytest.mark.parametrize(
    'text', ['', 'A good answer.', "I'm happy to: 5", 'I can tell', 'I\'m sorry it took long: {"clarity": 9}']
)
def test_what_does_not_decline_is_not_said_to(text):
    assert not reply.is_refusal(text)
