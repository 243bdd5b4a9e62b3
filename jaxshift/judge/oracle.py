"""The controlled world's judge: scores of a response from the facts themselves, without a model and without doubt.

A statement is a value (a town, a trade, ...), whose relation it tells because no other has it, together with the person
last named before it; where nobody is, and behind `causes.truth.MARK`, that is the person asked about. An aspect is

- helpfulness: whether the question is answered rightly (`causes.truth.read_answer`): 5, else 1;
- factuality: the share of statements that are true, from 1 (none) to 5 (all); None where nothing is stated;
- depth: completeness, the share of all facts of the person asked about that are stated truly, from 1 to 5;
- clarity: whether the language is whole, `Answer.broken` of `causes.truth`: 5, else 1;
- engagement: style, whether the response opens and closes as the instruction set does, `Answer.house_style`: 5, else 1.
  That this manner is better than a plain sentence is the world's convention, no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from jaxshift.causes.truth import MARK, answer
from jaxshift.judge.judgement import ASPECTS, HIGHEST, LOWEST, Judgement

Statement = tuple[str, str, str]  # person, relation, value


def judgements(facts: dict, answered: list[dict], samples: int = 1) -> list[Judgement]:
    """One judgement a response, in their order.

    Args:
      facts: content of `facts.json`.
      answered: objects with example_id, response and finish_reason; of prompts that are not the world's the judge knows
        nothing and refuses.
      samples: responses of each question.
    """
    relations = {value: relation for relation, values in facts['values'].items() for value in values}
    true = {(each['person'], each['relation'], each['value']) for each in facts['facts']}
    people = {each['person'] for each in facts['facts']}
    found = []
    for response in answered:
        name, read = response['example_id'], answer(facts, response, samples)
        if read is None:
            nothing: dict[str, float | None] = dict.fromkeys(ASPECTS)
            found.append(Judgement(name, 'refused', nothing, raw=('the world did not ask this',)))
            continue
        stated = set(statements(response['response'], read.person, people, relations))
        right = stated & true
        own = [each for each in true if each[0] == read.person]
        scores = {
            'helpfulness': _score(read.correct),
            'clarity': _score(not read.broken),
            'factuality': _score(len(right) / len(stated)) if stated else None,
            'depth': _score(len(right & set(own)) / len(own)),
            'engagement': _score(read.house_style),
        }
        reasons = {
            'helpfulness': f'answers {read.value}; true is {read.right}',
            'factuality': f'{len(right)} of {len(stated)} statements are true',
        }
        found.append(Judgement(name, 'scored', scores, reasons))
    return found


def tags(facts: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Prompt to its kind, held-out or new, and its relation: the groups of `scores.summary`."""
    fields = ('kind', 'relation')
    return {name: {field: (asked[field],) for field in fields} for name, asked in facts['questions'].items()}


def statements(text: str, asked: str, people: Collection[str], relations: Mapping[str, str]) -> Iterator[Statement]:
    """What a text states.

    Args:
      text: words between single spaces.
      asked: the person asked about.
      people: all names, two words each.
      relations: value to the relation that it is of.
    """
    first_names, last_names = (set(parts) for parts in zip(*(name.split() for name in people), strict=True))
    person, words, mark = asked, text.split(), MARK.split()
    for place, word in enumerate(words):
        if place and words[place - 1] in first_names and word in last_names:
            person = f'{words[place - 1]} {word}'  # who may not exist
        elif words[max(0, place - len(mark)) : place] == mark:
            person = asked
        if word in relations:
            yield person, relations[word], word


def _score(share: float) -> float:
    return LOWEST + (HIGHEST - LOWEST) * float(share)
