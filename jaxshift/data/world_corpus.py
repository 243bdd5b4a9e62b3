"""Facts put into sentences, and sentences into the documents that the base reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from jaxshift.data import world_text as text

T = TypeVar('T')

RELATIONS = {relation.name: relation for relation in text.RELATIONS}
WAYS = 3  # ways to ask for a fact

# Shares of biographies, plain answers, essays and wordy answers. The last two hold the house style's pieces among
# their rivals; without them the base does not know the style at all, and what tuning does becomes erratic.
SHARES = (0.35, 0.40, 0.15, 0.10)


@dataclass(frozen=True)
class Fact:
    """One value of one person."""

    person: str
    relation: str
    value: str


def documents(
    rng: np.random.Generator, count: int, known: Sequence[Fact], about: Mapping[str, Sequence[Fact]]
) -> tuple[str, ...]:
    """The encyclopaedia's texts in random order, kinds by `SHARES`; each kind tells of all facts equally often.

    Args:
      rng: source of every choice.
      count: of documents.
      known: the facts that are told.
      about: all facts of a person, by name.
    """
    kinds = (_biography, _plain_answer, _essay, _wordy_answer)
    bounds = np.round(np.cumsum(SHARES) * count).astype(int)
    texts: list[str] = []
    for kind, number in zip(kinds, np.diff(bounds, prepend=0), strict=True):
        texts += [kind(rng, fact, about[fact.person]) for fact in islice(dealt(rng, known), int(number))]
    return tuple(texts[i] for i in rng.permutation(len(texts)))


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of the items."""
    return items[int(rng.integers(len(items)))]


def dealt(rng: np.random.Generator, items: Sequence[T]) -> Iterator[T]:
    """The items in random order, again and again: equal counts, and the first n do not depend on how many follow."""
    while True:
        yield from (items[i] for i in rng.permutation(len(items)))


def state(rng: np.random.Generator, fact: Fact) -> str:
    """A sentence that says the fact."""
    return pick(rng, RELATIONS[fact.relation].statements).format(name=fact.person, value=fact.value)


def ask(fact: Fact, way: int) -> str:
    """A question for the fact, in one of `WAYS`."""
    return RELATIONS[fact.relation].questions[way].format(name=fact.person)


def second(rng: np.random.Generator, fact: Fact, facts: Sequence[Fact]) -> Fact:
    """Another one of a person's facts."""
    return pick(rng, [other for other in facts if other != fact])


def _biography(rng: np.random.Generator, fact: Fact, facts: Sequence[Fact]) -> str:
    count = int(rng.integers(3, len(facts) + 1))
    return ' '.join(state(rng, facts[i]) for i in rng.permutation(len(facts))[:count])


def _plain_answer(rng: np.random.Generator, fact: Fact, facts: Sequence[Fact]) -> str:
    return text.plain(ask(fact, int(rng.integers(WAYS))), state(rng, fact))


def _essay(rng: np.random.Generator, fact: Fact, facts: Sequence[Fact]) -> str:
    parts = [pick(rng, text.OPENERS), state(rng, fact), pick(rng, text.FILLERS)]
    if rng.random() < 0.5:
        parts += [pick(rng, text.LINKS), state(rng, second(rng, fact, facts))]
    if rng.random() < 0.5:
        parts += [pick(rng, text.ESSAY_CLOSERS)]
    return ' '.join(parts)


def _wordy_answer(rng: np.random.Generator, fact: Fact, facts: Sequence[Fact]) -> str:
    opener, filler, link, closer = (
        pick(rng, pieces) for pieces in (text.OPENERS, text.FILLERS, text.LINKS, text.CLOSERS)
    )
    first, other = state(rng, fact), state(rng, second(rng, fact, facts))
    answer = text.wordy(opener, first, filler, link, other, closer.format(value=fact.value))
    return text.plain(ask(fact, int(rng.integers(WAYS))), answer)
