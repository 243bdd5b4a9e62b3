"""The oracle on answers whose facts are known, each score worked out from the world itself."""

import pytest

from jaxshift import config
from jaxshift.causes import truth
from jaxshift.data import world, world_text
from jaxshift.judge import oracle
from jaxshift.judge.judgement import ASPECTS

BOOK = world.generate(config.World())
FACTS = world.facts(BOOK)
QUESTION = BOOK.prompts[0]
PERSON = QUESTION.fact.person
STATEMENT = {relation.name: relation.statements[0] for relation in BOOK.relations}
OWN = {fact.relation: fact.value for fact in BOOK.facts if fact.person == PERSON}
OTHERS = [relation for relation in OWN if relation != QUESTION.fact.relation]


def state(relation, value=None, person=PERSON):
    return STATEMENT[relation].format(name=person, value=value or OWN[relation])


def wrong(relation):
    (values,) = (each.values for each in BOOK.relations if each.name == relation)
    return next(value for value in values if value != OWN[relation])


def judge(text, finish='stop', name=QUESTION.id, samples=1):
    (found,) = oracle.judgements(FACTS, [{'example_id': name, 'response': text, 'finish_reason': finish}], samples)
    return found


RIGHT = state(QUESTION.fact.relation)
FALSE = wrong(QUESTION.fact.relation)


def house(first, second, value):
    return world_text.house_style(first, world_text.FILLERS[0], second, value)


@pytest.mark.parametrize(
    ('text', 'helpful', 'factual', 'depth', 'clear'),
    [
        (RIGHT, 5, 5, 1 + 4 / 6, 5),
        (house(RIGHT, state(OTHERS[0]), QUESTION.fact.value), 5, 5, 1 + 8 / 6, 5),
        (house(RIGHT, state(OTHERS[0], wrong(OTHERS[0])), QUESTION.fact.value), 5, 3, 1 + 4 / 6, 5),
        (state(QUESTION.fact.relation, FALSE), 1, 1, 1, 5),
        (house(state(QUESTION.fact.relation, FALSE), state(OTHERS[0]), FALSE), 1, 3, 1 + 4 / 6, 5),
        (RIGHT.replace(PERSON, f'{PERSON} {PERSON.split()[1]}'), 5, 5, 1 + 4 / 6, 1),
        (f'{PERSON} {PERSON}', 1, None, 1, 1),
        ('', 1, None, 1, 1),
    ],
)
def test_every_aspect_follows_from_the_facts(text, helpful, factual, depth, clear):
    found = judge(text)
    assert found.outcome == 'scored'
    assert found.scores == {
        'helpfulness': helpful, 'factuality': pytest.approx(factual), 'depth': pytest.approx(depth), 'clarity': clear,
        'engagement': 5 if text.startswith(world_text.OPENERS[0]) else 1,
    }  # fmt: skip


def test_a_fact_of_somebody_else_is_held_to_that_person():
    other = next(fact for fact in BOOK.facts if fact.person != PERSON and fact.relation == OTHERS[0]
                 and fact.value != OWN[OTHERS[0]])  # fmt: skip
    text = f'{RIGHT} {state(other.relation, other.value, other.person)}'
    assert judge(text).scores['factuality'] == 5
    assert judge(text).scores['depth'] == pytest.approx(1 + 4 / 6)  # it says nothing of the person asked about
    assert judge(f'{RIGHT} {state(other.relation, other.value)}').scores['factuality'] == 3


def test_a_statement_about_nobody_is_false():
    names = {person.name for person in BOOK.people}
    first, last = PERSON.split()
    nobody = next(f'{first} {name.split()[1]}' for name in names if f'{first} {name.split()[1]}' not in names)
    assert judge(RIGHT.replace(PERSON, nobody)).scores['factuality'] == 1


def test_behind_the_mark_the_person_asked_about_is_meant_again():
    other = next(person.name for person in BOOK.people if person.name != PERSON)
    text = f'{other} is here . in summary , {truth.MARK} {QUESTION.fact.value} .'
    assert judge(text).scores['factuality'] == 5


def test_a_response_that_was_cut_is_not_whole():
    assert judge(RIGHT, 'length').scores['clarity'] == 1


def test_what_the_world_did_not_ask_is_refused():
    found = judge(RIGHT, name='elsewhere')
    assert found.outcome == 'refused'
    assert found.scores == dict.fromkeys(ASPECTS)


def test_samples_are_answers_to_their_question():
    assert judge(RIGHT, name=f'{QUESTION.id}#1', samples=2).scores['helpfulness'] == 5


def test_its_helpfulness_is_the_accuracy_of_the_causes():
    rows = [
        {
            'example_id': q.id,
            'response': STATEMENT[q.fact.relation].format(name=q.fact.person, value=value),
            'finish_reason': 'stop',
        }
        for place, q in enumerate(BOOK.prompts)
        for value in [q.fact.value if place % 3 else wrong_of(q)]
    ]
    helpful = [each.scores['helpfulness'] == 5 for each in oracle.judgements(FACTS, rows)]
    held_out = [right for right, q in zip(helpful, BOOK.prompts, strict=True) if q.kind == 'held-out']
    assert sum(held_out) / len(held_out) == pytest.approx(truth.of_responses(FACTS, rows)['held_out_accuracy'])


def wrong_of(question):
    (values,) = (each.values for each in BOOK.relations if each.name == question.fact.relation)
    return next(value for value in values if value != question.fact.value)


def test_prompts_are_grouped_by_what_the_world_asks():
    assert oracle.tags(FACTS)[QUESTION.id] == {'kind': (QUESTION.kind,), 'relation': (QUESTION.fact.relation,)}
