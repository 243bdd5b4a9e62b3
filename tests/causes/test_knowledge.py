"""Bins of facts by what the base says, and what a run does to each, against loops by hand."""

import numpy as np
import pyarrow as pa
import pytest

from jaxshift.causes import knowledge
from jaxshift.causes.knowledge import Fact


@pytest.mark.parametrize(
    ('greedy', 'drawn', 'name'),
    [
        (True, (True, True), 'highly known'),
        (True, (True, False), 'maybe known'),
        (True, (False, False), 'maybe known'),
        (False, (True, False), 'weakly known'),
        (False, (False, False), 'unknown'),
    ],
)
def test_a_bin_is_made_by_the_greedy_answer_and_the_draws(greedy, drawn, name):
    assert Fact('q', 'ashford', greedy, drawn).bin == name


@pytest.mark.parametrize(
    ('response', 'answer', 'is_right'),
    [
        ('ada abbott was born in Ashford.', 'ashford', True),
        ('It is the United States', 'United States', True),
        ('united in states', 'United States', False),
        ('Ashfordham', 'ashford', False),
        ('The answer is an apple!', 'the apple', True),
        ('It was 1984', '1984', True),
        ('', 'ashford', False),
        ('anything', '...', False),
        ('No, it is not.', 'no', True),
        ('**Yes** – no doubt', 'Yes.', True),
        ('Yes. No other answer is right.', 'no', False),
        ('The answer is no.', 'no', True),
        ('There is no simple answer; it depends on what yes means', 'no', False),
        ('Nobody knows', 'no', False),
    ],
)
def test_an_answer_is_right_where_its_words_stand_in_the_response(response, answer, is_right):
    assert knowledge.right(response, answer) == is_right


def test_draws_belong_to_their_prompt():
    drawn = {'q': 'red', 'q#1': 'blue', 'r': 'one', 'r#1': 'two', 'r#2': 'one'}
    greedy = {'q': 'red', 'r': 'two'}
    found = knowledge.facts({'q': 'red', 'r': 'one'}, greedy, drawn, draws=3)
    assert [(fact.greedy, fact.drawn) for fact in found] == [(True, (True, False)), (False, (True, False, True))]
    assert knowledge.counts(found) == {'highly known': 0, 'maybe known': 1, 'weakly known': 1, 'unknown': 0}


def made_up(samples=2, seed=0):
    """Facts of all bins, responses of a run, and token records in a random order."""
    rng = np.random.default_rng(seed)
    found = [
        Fact(f'q{i}', f'word{i}', bool(rng.integers(2)), tuple(map(bool, rng.integers(0, 2, 2)))) for i in range(40)
    ]
    names = [f'q{i}' + (f'#{number}' if number else '') for i in range(45) for number in range(samples)]
    said = [
        {'example_id': name, 'response': f'it is word{int(name[1:].split("#")[0]) + rng.integers(2)} .'}
        for name in names
    ]
    rows = [
        (name, rng.gamma(1.0), rng.choice(['shifted', 'marginal'])) for name in names for _ in range(rng.integers(1, 9))
    ]
    rng.shuffle(rows)
    ids, kl, shift = zip(*rows, strict=True)
    kl = np.array(kl, np.float64)
    return found, said, pa.table({'example_id': list(ids), 'kl_tuned_base': kl, 'shift_class': list(shift)})


def test_what_a_run_did_to_each_bin_is_what_a_loop_counts():
    found, said, tokens = made_up()
    rows = knowledge.by_bin(knowledge.table(found, said, tokens, samples=2), seed=0, bootstrap=100)
    assert [row['bin'] for row in rows] == list(knowledge.BINS)
    for row in rows:
        facts = [fact for fact in found if fact.bin == row['bin']]
        right = kl = shifted = positions = 0.0
        for fact in facts:
            own = [each['response'] for each in said if each['example_id'].split('#')[0] == fact.id]
            right += sum(fact.answer in response.split() for response in own) / len(own) / len(facts)
            for token in tokens.to_pylist():
                if token['example_id'].split('#')[0] == fact.id:
                    positions += 1
                    kl += token['kl_tuned_base']
                    shifted += token['shift_class'] == 'shifted'
        assert (row['facts'], row['positions']) == (len(facts), positions)
        assert row['before'] == sum(fact.greedy for fact in facts) / len(facts)
        assert row['after'] == pytest.approx(right)
        assert row['kl_tuned_base'] == pytest.approx(kl / positions)
        assert row['shifted'] == pytest.approx(100 * shifted / positions)
        assert row['after_low'] <= row['after'] <= row['after_high']


def test_a_planted_loss_of_what_was_known_is_found_and_nothing_else():
    found = [Fact(f'q{i}', f'word{i}', i < 50, (i < 50, i < 50)) for i in range(100)]
    said = [{'example_id': f'q{i}', 'response': f'word{i}' if i >= 20 else 'wrong'} for i in range(100)]
    tokens = pa.table(
        {
            'example_id': [f'q{i}' for i in range(100)],
            'kl_tuned_base': [5.0 if i < 50 else 0.5 for i in range(100)],
            'shift_class': ['unshifted'] * 100,
        }
    )
    known, unknown = knowledge.by_bin(knowledge.table(found, said, tokens, 1), seed=0, bootstrap=500)
    assert known['after'] == 0.6
    assert known['after_high'] < 0.8
    # No resample of 50 right answers differs, which is no certainty: Wilson's interval.
    assert (unknown['after'], unknown['after_high']) == (1.0, pytest.approx(1.0))
    assert unknown['after_low'] == pytest.approx(50 / (50 + 1.959964**2))
    assert (known['kl_tuned_base'], unknown['kl_tuned_base']) == (5.0, 0.5)


def test_facts_without_records_have_no_shift():
    tokens = pa.table({'example_id': pa.array([], pa.string()), 'kl_tuned_base': pa.array([], pa.float32()),
                       'shift_class': pa.array([], pa.string())})  # fmt: skip
    found = [Fact('q', 'red', True, (True,)), Fact('not asked', 'red', True, (True,))]
    (row,) = knowledge.by_bin(knowledge.table(found, [{'example_id': 'q', 'response': 'red'}], tokens, 1), 0, 10)
    assert (row['facts'], row['after'], row['kl_tuned_base'], row['after_low']) == (1, 1.0, None, None)
