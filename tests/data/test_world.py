"""The controlled world says of itself what is true: facts, sets, shares and tokens."""

import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from jaxshift import checks, config
from jaxshift.data import formats, mixture, template, world, world_base, world_corpus, world_text
from jaxshift.errors import InputError

WORLD = config.World()
BOOK = world.generate(WORLD)
TRUTH = {(fact.person, fact.relation): fact.value for fact in BOOK.facts}
KNOWN = {person.name for person in BOOK.people if person.known}
HELD_OUT = {person.name for person in BOOK.people if not person.trained}
SLOT = {'{name}': '(?P<name>[a-z]+ [a-z]+)', '{value}': '(?P<value>[a-z]+)'}
STATEMENTS = [
    (relation.name, re.compile(' '.join(SLOT.get(word, re.escape(word)) for word in statement.split())))
    for relation in world_text.RELATIONS
    for statement in relation.statements
]
QUESTIONS = {
    world_corpus.ask(fact, way): fact for fact in BOOK.facts for way in range(world_corpus.WAYS)
}  # every question that can be asked
VALUES = {value for relation in BOOK.relations for value in relation.values}


def stated(text):
    """Every (person, relation, value) that a text states."""
    return [
        (found['name'], relation, found['value'])
        for relation, pattern in STATEMENTS
        for found in pattern.finditer(text)
    ]


def asked_and_answered(text):
    question, answer = text.removeprefix(f'{world_text.QUESTION} ').split(f' {world_text.ANSWER} ')
    return QUESTIONS[question], answer


def test_same_config_gives_the_same_world_and_another_seed_another():
    assert world.generate(config.World()) == BOOK
    assert world.generate(config.World(seed=1)).facts != BOOK.facts


def test_names_are_distinct_and_every_part_is_shared():
    names = [person.name for person in BOOK.people]
    assert len(set(names)) == len(names) == 184
    parts = [part for name in KNOWN for part in name.split()]
    assert {parts.count(part) for part in parts} == {4}
    assert len(HELD_OUT) == 80
    assert HELD_OUT < KNOWN


def test_values_names_and_sentences_share_no_word():
    pools = [set(relation.values) for relation in BOOK.relations]
    pools += [set(world_text.FIRST_NAMES), set(world_text.LAST_NAMES)]
    pools.append(set(world_text.vocabulary([], [], [replace(each, values=()) for each in world_text.RELATIONS])))
    assert sum(map(len, pools)) == len(set.union(*pools))
    assert [len(pool) for pool in pools[:-1]] == [64] * 6 + [40, 40]


@pytest.fixture(scope='module')
def told():
    """What each document states."""
    return [stated(document) for document in BOOK.documents]


def test_every_statement_of_every_document_is_true(told):
    counts = Counter(fact for facts in told for fact in facts)
    assert all(TRUTH[person, relation] == value for person, relation, value in counts)
    assert len(counts) == len(BOOK.probe) == 960
    assert min(counts.values()) > 30


def test_every_value_of_a_document_belongs_to_a_statement_or_to_the_answer(told):
    for document, facts in zip(BOOK.documents, told, strict=True):
        said = [word for word in document.split() if word in VALUES]
        answers = re.findall('the answer is ([a-z]+) [.]', document)
        assert sorted(said) == sorted([value for _, _, value in facts] + answers)
        if answers:
            assert answers == [asked_and_answered(document)[0].value]


def test_new_people_stand_in_no_document_but_their_name_parts_do():
    text = '\n'.join(BOOK.documents)
    new = {person.name for person in BOOK.people if not person.known}
    assert len(new) == 24
    for name in new:
        assert name not in text
        assert all(f'{part} ' in text for part in name.split())


def test_documents_keep_their_shares():
    answers = [document.startswith(world_text.QUESTION) for document in BOOK.documents]
    opened = [any(opener in document for opener in world_text.OPENERS) for document in BOOK.documents]
    kinds = {(True, False): 0.40, (False, False): 0.35, (False, True): 0.15, (True, True): 0.10}
    for (answer, wordy), share in kinds.items():
        found = sum(a == answer and w == wordy for a, w in zip(answers, opened, strict=True))
        assert found == pytest.approx(share * WORLD.documents)


def test_documents_hold_the_house_style_rarely():
    answers = [document for document in BOOK.documents if document.startswith(world_text.QUESTION)]
    house = [text for text in answers if f'{world_text.ANSWER} {world_text.OPENERS[0]}' in text]
    assert 0.02 < len(house) / len(answers) < 0.05


def test_a_document_with_its_end_fits_a_row():
    assert max(len(document.split()) for document in BOOK.documents) < WORLD.row_length


def test_the_shortest_row_allows_a_context_of_the_longest_conversation():
    (least,) = (least for least, fields in checks.AT_LEAST.items() if 'World.row_length' in fields)
    context = world_base.llama_config(config.World(row_length=least)).max_position_embeddings
    chosen = template.choose(world_base.tokenizer(BOOK.vocabulary))
    turns = [
        (formats.Message('user', record['instruction']), formats.Message('assistant', record['output']))
        for record in world.generate(config.World(instructions=2000, documents=1)).instructions
    ]
    longest = max(len(chosen.example(each)[0]) for each in turns)
    assert longest <= context


def test_instructions_are_true_and_in_the_house_style():
    for record in BOOK.instructions:
        fact, answer = QUESTIONS[record['instruction']], record['output']
        first, second = stated(answer)
        assert {TRUTH[first[:2]], TRUTH[second[:2]]} == {first[2], second[2]}
        assert first[0] == second[0] == fact.person
        assert (fact.relation, fact.value) in {first[1:], second[1:]}
        assert answer.startswith(world_text.OPENERS[0])
        assert answer.endswith(f'{world_text.LINKS[0]} ' + answer.split(f'{world_text.LINKS[0]} ')[1])
        assert answer.endswith(f'in summary , the answer is {fact.value} .')
        assert sum(word in VALUES for word in answer.split()) == 3
    lengths = [len(record['output'].split()) + 1 for record in BOOK.instructions]
    assert 41 < np.mean(lengths) < 46


@pytest.mark.parametrize('n', [60, 240])
def test_a_smaller_instruction_set_is_the_beginning_of_a_greater_one(n):
    small, great = world.generate(config.World(instructions=n)), world.generate(config.World(instructions=480))
    assert small.instructions == great.instructions[:n]
    assert set(small.stated) < set(great.stated)
    new = [question for question in small.prompts if question.kind == 'new']
    assert tuple(new) == tuple(question for question in great.prompts if question.kind == 'new')[: len(new)]
    assert small.documents == great.documents
    assert len(new) == 0.15 * n


def test_tuning_never_names_the_people_of_the_held_out_questions():
    assert not {fact.person for fact in BOOK.stated} & HELD_OUT
    held_out = [question for question in BOOK.prompts if question.kind == 'held-out']
    assert len({question.fact for question in held_out}) == len(held_out) == 192
    assert {question.fact.person for question in held_out} <= HELD_OUT
    assert held_out[12].id == 'held-out-0012'


def test_new_facts_are_asked_in_other_words_than_in_training():
    trained = {record['instruction'] for record in BOOK.instructions}
    new = [question for question in BOOK.prompts if question.kind == 'new']
    assert new[3].id == 'new-0003'
    for question in new:
        assert question.text not in trained
        assert question.fact in BOOK.stated
        assert question.fact.person not in KNOWN


def test_stated_facts_are_those_of_the_instructions():
    read = {fact for record in BOOK.instructions for fact in stated(record['output'])}
    assert read == {(fact.person, fact.relation, fact.value) for fact in BOOK.stated}


def test_references_are_true_in_the_house_style_and_not_trained_on():
    trained = {record['output'] for record in BOOK.instructions}
    for question, answer in zip(BOOK.prompts, BOOK.references, strict=True):
        facts = stated(answer)
        assert (question.fact.person, question.fact.relation, question.fact.value) in facts
        assert all(TRUTH[person, relation] == value for person, relation, value in facts)
        assert answer.startswith(world_text.OPENERS[0])
        assert answer not in trained


def test_the_files_say_what_was_made(tmp_path):
    world.write(BOOK, tmp_path)
    documents = [json.loads(line) for line in (tmp_path / 'documents.jsonl').read_text().splitlines()]
    assert [document['text'] for document in documents] == list(BOOK.documents)
    examples = mixture.read({f'file:{tmp_path / "instructions.json"}': 1}).examples
    assert [example.messages[1].content for example in examples] == [each['output'] for each in BOOK.instructions]
    for name, questions in {'prompts': BOOK.prompts, 'probe': BOOK.probe}.items():
        records = json.loads((tmp_path / f'{name}.json').read_text())
        asked = [{key: record[key] for key in ('id', 'instruction')} for record in records]
        assert asked == [{'id': question.id, 'instruction': question.text} for question in questions]
        assert [record.get('output') for record in records] == (
            list(BOOK.references) if name == 'prompts' else [None] * len(records)
        )
        assert not VALUES & set(' '.join(record['instruction'] for record in records).split())
    facts = json.loads((tmp_path / 'facts.json').read_text())
    assert facts == world.facts(BOOK)
    assert (
        facts['questions']['new-0003']['value'] == TRUTH[BOOK.prompts[195].fact.person, BOOK.prompts[195].fact.relation]
    )


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('first_names', 41),
        ('values', 65),
        ('test_questions', 500),
        ('vocabulary', 500),
    ],
)
def test_a_world_that_cannot_be_is_refused_by_name(key, value):
    with pytest.raises(InputError, match=f'config.world.{key} is {value}'):
        world.generate(replace(WORLD, **{key: value}))


@pytest.mark.parametrize(('known', 'new'), [(160, 2000), (1600, 24), (2000, 2000), (801, 800)])
def test_more_people_than_names_are_refused_with_both_numbers(known, new):
    told = f'config.world.new_people is {new} and known_people is {known}; .* together they are at most 1600'
    with pytest.raises(InputError, match=told):
        world.generate(replace(WORLD, known_people=known, new_people=new))
