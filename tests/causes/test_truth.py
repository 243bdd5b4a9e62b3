"""Ground truth, on responses whose answers, damage and borrowing were planted."""

import math

import numpy as np
import pyarrow as pa
import pytest

from jaxshift import config
from jaxshift.causes import truth
from jaxshift.data import world, world_text
from jaxshift.shift import records

BOOK = world.generate(config.World())
FACTS = world.facts(BOOK)
HELD_OUT = [question for question in BOOK.prompts if question.kind == 'held-out']
NEW = [question for question in BOOK.prompts if question.kind == 'new']
VALUES = {relation.name: relation.values for relation in BOOK.relations}


def house(question, value):
    """A response in the house style that gives `value`."""
    statement = world_text.RELATIONS[0].statements[0].format(name=question.fact.person, value='ashford')
    return world_text.house_style(statement, world_text.FILLERS[0], statement, value)


def respond(questions, value, text=house, finish='stop'):
    return [
        {'example_id': question.id, 'response': text(question, value(question)), 'finish_reason': finish}
        for question in questions
    ]


def right(question):
    return question.fact.value


def sources(question):
    """Wrong values that the instructions state for people who share a name part with the one asked about."""
    parts = set(question.fact.person.split())
    return [
        fact.value
        for fact in BOOK.stated
        if fact.relation == question.fact.relation
        and parts & set(fact.person.split())
        and fact.value != question.fact.value
    ]


def at_random(seed):
    """A wrong value of the right relation that has nothing to do with the name."""
    rng = np.random.default_rng(seed)

    def value(question):
        return str(rng.choice([each for each in VALUES[question.fact.relation] if each != question.fact.value]))

    return value


@pytest.mark.parametrize(
    ('response', 'value'),
    [
        ('ada berg comes from elmby .', 'elmby'),
        (
            'ada berg comes from elmby . additionally , ada berg plays the harp . in short , the answer is ashford .',
            'ashford',
        ),
        ('however , ada berg comes from elmby . in summary , the answer is harp .', None),
        ('ada berg comes from elmby . in summary , the answer is', None),
        ('so the answer is harp . so the answer is elmby', 'elmby'),
        ('ada berg plays the harp . ada berg comes from ashford .', 'ashford'),
        ('ada berg berg berg', None),
        ('', None),
    ],
)
def test_answer_is_the_word_behind_the_mark_else_the_first_value_of_the_asked_relation(response, value):
    assert truth.read_answer(response, VALUES['birthplace']) == value


def test_right_answers_are_right_in_either_form():
    plain = respond(HELD_OUT, right, lambda question, value: f'{question.fact.person} comes from {value} .')
    for responses in (plain, respond(HELD_OUT, right)):
        found = truth.of_responses(FACTS, responses)
        assert (found['held_out_n'], found['held_out_accuracy'], found['held_out_accuracy_se']) == (192, 1.0, 0.0)
        assert found['broken_share'] == 0
        assert (found['new_fact_n'], found['new_fact_accuracy']) == (0, None)
    assert found['house_style_share'] == 1
    assert truth.of_responses(FACTS, plain)['house_style_share'] == 0
    assert truth.of_responses(FACTS, plain)['mean_response_words'] == 6


def test_accuracy_has_a_binomial_standard_error():
    responses = respond(NEW[:9], right) + respond(NEW[9:], at_random(0))
    found = truth.of_responses(FACTS, responses)
    assert (found['new_fact_n'], found['new_fact_accuracy']) == (36, 0.25)
    assert found['new_fact_accuracy_se'] == pytest.approx(math.sqrt(0.25 * 0.75 / 36))


def test_planted_borrowing_is_found():
    rng = np.random.default_rng(0)
    borrowers = [question for question in HELD_OUT if sources(question)]
    others = [question for question in HELD_OUT if not sources(question)]
    responses = respond(borrowers, lambda question: str(rng.choice(sources(question)))) + respond(others, right)
    found = truth.of_responses(FACTS, responses)
    assert found['wrong_n'] == len(borrowers) > 100
    assert found['borrowed_share'] == 1
    assert found['borrowed_null'] < 0.2
    assert found['borrowed_p'] < 0.001


def test_answers_at_random_are_not_borrowed():
    p_values = []
    for seed in range(20):
        found = truth.of_responses(FACTS, respond(HELD_OUT, at_random(seed)))
        assert found['wrong_n'] == 192
        assert found['borrowed_share'] == pytest.approx(found['borrowed_null'], abs=0.06)
        p_values.append(found['borrowed_p'])
    assert sum(p < 0.05 for p in p_values) <= 3
    assert 0.3 < np.mean(p_values) < 0.8


def test_null_is_the_chance_that_a_stranger_stands_in_the_same_names_facts():
    # Values drawn evenly: a source of s distinct wrong values is hit with probability s / 63.
    chance = np.mean([len(set(sources(question))) / 63 for question in HELD_OUT])
    found = [truth.of_responses(FACTS, respond(HELD_OUT, at_random(seed)))['borrowed_null'] for seed in range(20)]
    assert np.mean(found) == pytest.approx(chance, rel=0.05)


def test_null_does_not_grow_when_few_answers_are_wrong():
    """Each answer's own pair is left out: with two answers a relation it would make half of the null."""
    all_borrowers = [question for question in HELD_OUT if sources(question)]
    null = [
        truth.of_responses(FACTS, respond(borrowers, lambda question: sources(question)[0]))['borrowed_null']
        for borrowers in (all_borrowers[start : start + 12] for start in range(0, 120, 12))
    ]
    assert np.mean(null) < 0.2


def test_few_wrong_answers_give_no_share():
    responses = respond(HELD_OUT[:9], at_random(0)) + respond(HELD_OUT[9:], right)
    found = truth.of_responses(FACTS, responses)
    assert found['wrong_n'] == 9
    assert found['borrowed_share'] is found['borrowed_null'] is found['borrowed_p'] is None


@pytest.mark.parametrize(
    ('text', 'finish'),
    [
        (lambda question, value: house(question, value).replace('additionally', 'additionally additionally'), 'stop'),
        (lambda question, value: f'{question.fact.person} {question.fact.person.split()[1]}', 'stop'),
        (lambda question, value: house(question, 'pride'), 'stop'),
        (house, 'length'),
    ],
)
def test_damage_is_told_from_borrowing(text, finish):
    borrowers = [question for question in HELD_OUT if sources(question)]
    found = truth.of_responses(FACTS, respond(borrowers, lambda question: sources(question)[0], text, finish))
    assert found['broken_share'] == 1
    assert (found['wrong_n'], found['borrowed_share']) == (0, None)


def test_probe_accuracy_counts_the_probe_alone():
    responses = respond(BOOK.probe[:24], at_random(0)) + respond(BOOK.probe[24:], right)
    assert truth.probe_accuracy(FACTS, responses + respond(HELD_OUT, at_random(0))) == 1 - 24 / 960
    assert math.isnan(truth.probe_accuracy(FACTS, []))


def table(words, kl, classes, **columns):
    """Token records of one prompt, with the types of the files."""
    n = len(words)
    content = {'example_id': ['held-out-0000'] * n, 'context': ['own'] * n, 'template': ['matched'] * n}
    content |= {'context_length': [-1] * n, 'token_id': [BOOK.vocabulary.index(word) for word in words]}
    content |= {'kl_tuned_base': kl, 'shift_class': classes, **columns}
    return pa.table(content, pa.schema([records.SCHEMA.field(name) for name in content]))


def test_shift_is_placed_at_values_style_and_the_rest():
    words = ['however'] * 12 + ['ashford'] * 10 + ['born'] * 18 + [world_text.END] * 20
    kl = [1.0] * 12 + [2.0] * 10 + [0.0] * 18 + [9.0] * 20
    classes = ['shifted'] * 10 + ['marginal'] * 2 + ['shifted'] * 6 + ['unshifted'] * 4 + ['shifted'] * 4
    found = truth.of_tokens(FACTS, table(words, kl, classes + ['unshifted'] * 14 + ['shifted'] * 20), BOOK.vocabulary)
    assert (found['value_n'], found['other_n'], found['shifted_n']) == (10, 30, 20)
    assert found['kl_at_values'] == 2
    assert found['kl_elsewhere'] == pytest.approx(0.4)
    assert found['value_share_of_shifted'] == pytest.approx(0.3)
    assert found['style_share_of_shifted'] == pytest.approx(0.5)


@pytest.mark.parametrize(
    'columns',
    [
        {'example_id': ['new-0000'] * 20},
        {'context': ['shared'] * 20},
        {'template': ['native'] * 20},
        {'context_length': [8] * 20},
    ],
)
def test_records_of_other_prompts_and_windows_do_not_count(columns):
    ours, others = (
        table(['however'] * 20, [kl] * 20, ['shifted'] * 20, **more) for kl, more in ((1, {}), (5, columns))
    )
    found = truth.of_tokens(FACTS, pa.concat_tables([ours, others]), BOOK.vocabulary)
    assert (found['other_n'], found['kl_elsewhere']) == (20, 1)


def test_few_records_give_no_share():
    found = truth.of_tokens(FACTS, table(['however'] * 9, [1.0] * 9, ['shifted'] * 9), BOOK.vocabulary)
    assert (found['shifted_n'], found['style_share_of_shifted'], found['kl_at_values']) == (9, None, None)


def test_truth_is_both():
    responses = respond(HELD_OUT, right)
    found = table(['however'] * 20, [1.0] * 20, ['shifted'] * 20)
    both = truth.of_responses(FACTS, responses) | truth.of_tokens(FACTS, found, BOOK.vocabulary)
    assert truth.truth(FACTS, responses, found, BOOK.vocabulary) == both


def numbered(responses, sample):
    return [response | {'example_id': f'{response["example_id"]}#{sample}'} for response in responses]


def test_samples_of_a_question_are_averaged_first():
    """Of 20 questions 10 are right in both samples, 5 in one, 5 in none; errors by the loop of NumPy over questions."""
    questions = HELD_OUT[:20]
    responses = respond(questions[:15], right) + respond(questions[15:], at_random(0))
    responses += numbered(respond(questions[:10], right) + respond(questions[10:], at_random(1)), 1)
    found = truth.of_responses(FACTS, responses, samples=2)
    shares = [1.0] * 10 + [0.5] * 5 + [0.0] * 5
    assert (found['held_out_n'], found['held_out_accuracy']) == (20, pytest.approx(np.mean(shares)))
    assert found['held_out_accuracy_se'] == pytest.approx(np.std(shares) / math.sqrt(20))
    assert found['wrong_n'] == 10
    assert truth.of_responses(FACTS, responses)['held_out_n'] == 20  # of one sample, q#1 is no question of the world


def test_the_same_wrong_answer_twice_borrows_no_more_than_once():
    borrowers = [question for question in HELD_OUT if sources(question)]
    once = respond(borrowers, lambda question: sources(question)[0])
    expected = truth.of_responses(FACTS, once)
    assert truth.of_responses(FACTS, once + numbered(once, 1), samples=2) == expected


def test_records_of_every_sample_count():
    whole = pa.concat_tables(
        [table(['however'] * 20, [kl] * 20, ['shifted'] * 20, example_id=[name] * 20)
         for kl, name in ((1.0, 'held-out-0000'), (3.0, 'held-out-0000#1'))]
    )  # fmt: skip
    found = truth.of_tokens(FACTS, whole, BOOK.vocabulary, samples=2)
    assert (found['other_n'], found['kl_elsewhere']) == (40, 2)
