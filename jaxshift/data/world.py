"""The controlled world: a synthetic encyclopaedia whose facts are all known, and an instruction set over a part of it.

A base that is pre-trained on the encyclopaedia knows every fact about the known people and holds the house style of
the instruction set at low probability. Whatever tuning then does to an answer has a ground truth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from jaxshift import config
from jaxshift.data import world_corpus as corpus
from jaxshift.data import world_text as text
from jaxshift.data.world_corpus import WAYS, Fact
from jaxshift.errors import InputError
from jaxshift.store import jsonl, paths

HELD_OUT, NEW, PROBE = 'held-out', 'new', 'probe'
# What each random generator draws; apart, so that (say) more documents leave the instructions as they are.
NAMES, VALUES, DOCUMENTS, INSTRUCTIONS, TESTS, TESTS_OF_NEW, REFERENCES = range(7)


@dataclass(frozen=True)
class Person:
    """Somebody with one value for each relation.

    Attributes:
      name: first and last name; others share either.
      known: the encyclopaedia tells of them; otherwise the instruction set alone does.
      trained: the instruction set may tell of them.
    """

    name: str
    known: bool
    trained: bool


@dataclass(frozen=True)
class Question:
    """A question with its truth; `kind` is held-out, new or probe, and starts the `id`."""

    id: str
    kind: str
    text: str
    fact: Fact


@dataclass(frozen=True)
class Encyclopaedia:
    """Everything that is known about a world, and the texts made from it.

    Attributes:
      facts: of all people, one for each relation.
      documents: texts of the pre-training corpus, without end tokens.
      instructions: alpaca records with ids; those of a smaller set are the first of a greater one.
      stated: the facts that stand in the instructions, each once.
      references: a true answer in the house style to each of the prompts; nothing trains on them.
      prompts: held-out questions about known people whom tuning never names, then trained facts about new people,
        asked in other words than in training.
      probe: one question for each fact in the documents.
      vocabulary: every token; the place is the id.
    """

    relations: tuple[text.Relation, ...]
    people: tuple[Person, ...]
    facts: tuple[Fact, ...]
    documents: tuple[str, ...]
    instructions: tuple[dict[str, str], ...]
    stated: tuple[Fact, ...]
    prompts: tuple[Question, ...]
    references: tuple[str, ...]
    probe: tuple[Question, ...]
    vocabulary: tuple[str, ...]


def generate(world: config.World) -> Encyclopaedia:
    """Draws a world; the same config gives the same world.

    Raises:
      InputError: the config asks for more names, values or questions, or for fewer words, than there are.
    """
    first_names, last_names = text.FIRST_NAMES[: world.first_names], text.LAST_NAMES[: world.last_names]
    relations = tuple(dataclasses.replace(each, values=each.values[: world.values]) for each in text.RELATIONS)
    words = text.vocabulary(first_names, last_names, relations)
    _check(world, len(words))
    people = _people(world, first_names, last_names)
    rng = _generator(world, VALUES)
    about = {
        person.name: [Fact(person.name, relation.name, corpus.pick(rng, relation.values)) for relation in relations]
        for person in people
    }
    known = [fact for person in people if person.known for fact in about[person.name]]
    untrained = [fact for person in people if not person.trained for fact in about[person.name]]
    instructions, stated, new_questions = _instructions(world, people, about)
    rng = _generator(world, TESTS)
    held_out = list(islice(corpus.dealt(rng, untrained), world.test_questions))
    prompts = (*_questions(rng, HELD_OUT, held_out), *new_questions)
    references = _generator(world, REFERENCES)
    return Encyclopaedia(
        relations=relations,
        people=people,
        facts=tuple(fact for facts in about.values() for fact in facts),
        documents=corpus.documents(_generator(world, DOCUMENTS), world.documents, known, about),
        instructions=instructions,
        stated=stated,
        prompts=prompts,
        references=tuple(
            _answer(references, each.fact, corpus.second(references, each.fact, about[each.fact.person]))
            for each in prompts
        ),
        probe=_questions(rng, PROBE, known),
        vocabulary=(*words, *(f'<unused-{i}>' for i in range(world.vocabulary - len(words)))),
    )


def _check(world: config.World, words: int) -> None:
    most = {
        'first_names': len(text.FIRST_NAMES),
        'last_names': len(text.LAST_NAMES),
        'values': min(len(relation.values) for relation in text.RELATIONS),
        'test_questions': len(text.RELATIONS) * (world.known_people - world.known_people // 2),
    }
    for key, limit in most.items():
        if getattr(world, key) > limit:
            raise InputError(f'config.world.{key} is {getattr(world, key)}; with the other sizes it is at most {limit}')
    names = world.first_names * world.last_names
    if world.new_people + world.known_people > names:  # every name is one person's
        raise InputError(
            f'config.world.new_people is {world.new_people} and known_people is {world.known_people}; '
            f'first_names and last_names make {names} names, so together they are at most {names}'
        )
    if world.vocabulary < words:
        raise InputError(f'config.world.vocabulary is {world.vocabulary}; the language needs {words} at least')


def _generator(world: config.World, purpose: int) -> np.random.Generator:
    return np.random.default_rng([world.seed, purpose])


def _people(world: config.World, first_names: Sequence[str], last_names: Sequence[str]) -> tuple[Person, ...]:
    """Distinct names; each round gives every first name once, and turns the last names by another angle."""
    rng = _generator(world, NAMES)
    first, last = rng.permutation(first_names), rng.permutation(last_names)
    turns = rng.permutation(len(last))
    trained = set(rng.permutation(world.known_people)[: world.known_people // 2].tolist())
    people = []
    for i in range(world.known_people + world.new_people):
        turn, place = divmod(i, len(first))
        name = f'{first[place]} {last[(place + turns[turn]) % len(last)]}'
        people.append(Person(name, known=i < world.known_people, trained=i in trained or i >= world.known_people))
    return tuple(people)


def _questions(rng: np.random.Generator, kind: str, facts: Sequence[Fact]) -> tuple[Question, ...]:
    return tuple(
        Question(f'{kind}-{i:04}', kind, corpus.ask(fact, int(rng.integers(WAYS))), fact)
        for i, fact in enumerate(facts)
    )


def _instructions(
    world: config.World, people: Sequence[Person], about: dict[str, list[Fact]]
) -> tuple[tuple[dict[str, str], ...], tuple[Fact, ...], tuple[Question, ...]]:
    """Alpaca records, the facts that stand in them, and the trained new facts asked in other words."""
    rng, tests = _generator(world, INSTRUCTIONS), _generator(world, TESTS_OF_NEW)
    new = corpus.dealt(rng, [fact for person in people if not person.known for fact in about[person.name]])
    old = corpus.dealt(
        rng, [fact for person in people if person.known and person.trained for fact in about[person.name]]
    )
    records: list[dict[str, str]] = []
    stated: dict[Fact, None] = {}
    questions: dict[Fact, Question] = {}
    for i in range(world.instructions):
        is_new = int((i + 1) * world.new_share) > int(i * world.new_share)
        fact = next(new if is_new else old)
        second, way = corpus.second(rng, fact, about[fact.person]), int(rng.integers(WAYS))
        answer = _answer(rng, fact, second)
        records.append({'id': f'tune-{i:04}', 'instruction': corpus.ask(fact, way), 'output': answer})
        stated |= {fact: None, second: None}
        other = (way + 1 + int(tests.integers(WAYS - 1))) % WAYS
        if is_new and fact not in questions:
            questions[fact] = Question(f'{NEW}-{len(questions):04}', NEW, corpus.ask(fact, other), fact)
    return tuple(records), tuple(stated), tuple(questions.values())


def _answer(rng: np.random.Generator, fact: Fact, second: Fact) -> str:
    """An answer in the house style."""
    return text.house_style(
        corpus.state(rng, fact), corpus.pick(rng, text.FILLERS), corpus.state(rng, second), fact.value
    )


def write(encyclopaedia: Encyclopaedia, folder: Path) -> None:
    """Writes documents.jsonl, instructions.json, prompts.json with references, probe.json, facts.json and scores.jsonl.

    facts.json is the truth; scores.jsonl has what a judge who knows what the encyclopaedia tells would give each
    instruction for factuality: 5 where it knows the person, 1 where it has never heard of them.
    """
    documents = ({'id': f'document-{i:05}', 'text': document} for i, document in enumerate(encyclopaedia.documents))
    jsonl.write(folder / 'documents.jsonl', documents)
    strangers = [person.name for person in encyclopaedia.people if not person.known]
    told = ((record, any(name in record['instruction'] for name in strangers)) for record in encyclopaedia.instructions)
    scores = ({'example_id': record['id'], 'score': 1.0 if strange else 5.0} for record, strange in told)
    jsonl.write(folder / 'scores.jsonl', scores)
    answered = zip(encyclopaedia.prompts, encyclopaedia.references, strict=True)
    files: dict[str, Any] = {
        'prompts.json': [{'id': q.id, 'instruction': q.text, 'output': answer} for q, answer in answered],
        'probe.json': [{'id': q.id, 'instruction': q.text} for q in encyclopaedia.probe],
    }
    files |= {'instructions.json': encyclopaedia.instructions, 'facts.json': facts(encyclopaedia)}
    for name, content in files.items():
        paths.write_json(folder / name, content)


def facts(encyclopaedia: Encyclopaedia) -> dict[str, Any]:
    """The truth that `causes/truth.py` reads.

    Returns:
      `values` by relation; `people` with known and trained; `facts`, those in the instructions with stated;
      `questions` by id with kind, person, relation and value; `style_words`; and the words that open and close the
      house style, `opener` and `closer`.
    """
    stated = set(encyclopaedia.stated)
    questions = (*encyclopaedia.prompts, *encyclopaedia.probe)
    return {
        'values': {relation.name: list(relation.values) for relation in encyclopaedia.relations},
        'people': [dataclasses.asdict(person) for person in encyclopaedia.people],
        'facts': [dataclasses.asdict(fact) | {'stated': fact in stated} for fact in encyclopaedia.facts],
        'questions': {each.id: {'kind': each.kind} | dataclasses.asdict(each.fact) for each in questions},
        'style_words': text.style_words(),
        'opener': text.OPENERS[0],
        'closer': text.CLOSERS[0].format(value='').removesuffix(' .').strip(),
    }
