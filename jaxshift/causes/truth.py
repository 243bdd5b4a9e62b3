"""The controlled world's ground truth: right answers, new facts, borrowing against a null, and where the shift sits.

Pure functions of `facts.json`, of a run's responses (objects of responses.jsonl) and of its token records. Every share
comes with its n; a share of fewer than `FEW` cases is None. Cases of answers are questions: the samples of one question
depend on each other, so they are averaged first, and standard errors are over questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxshift.data.world_text import END
from jaxshift.respond.responses import prompt_of

FEW = 10  # cases below which a share is not given
MARK = 'the answer is'  # what follows it is the answer of a response in the house style
PERMUTATIONS = 2000

Truth = dict[str, float | int | None]


@dataclass(frozen=True)
class Answer:
    """One response, read.

    Attributes:
      question: the id of what was asked; its samples share it.
      person, relation: what was asked.
      right: the true value.
      value: the value given, or None (see `read_answer`).
      broken: no value was given, a word is repeated on the spot, or the response did not end. No sentence of the
        world repeats a word, so this is damage to the language, not a wrong belief.
      words: length without the end token.
      house_style: the response opens and closes as the instruction set does.
    """

    question: str
    person: str
    relation: str
    right: str
    value: str | None
    broken: bool
    words: int
    house_style: bool

    @property
    def correct(self) -> bool:
        return self.value == self.right


def truth(
    facts: dict, responses: Iterable[dict], tokens: pa.Table, vocabulary: Sequence[str], seed: int = 0, samples: int = 1
) -> Truth:
    """`of_responses` and `of_tokens` together."""
    return of_responses(facts, responses, seed, samples) | of_tokens(facts, tokens, vocabulary, samples)


def probe_accuracy(facts: dict, responses: Iterable[dict]) -> float:
    """Share of the probe's questions, one a known fact, that are answered right; NaN without any."""
    answers = _answers(facts, responses, 'probe', 1)
    return float(np.mean([answer.correct for answer in answers])) if answers else float('nan')


def right(facts: dict, responses: Iterable[dict], kind: str, samples: int = 1) -> dict[str, float]:
    """By question of a kind, `held-out` or `new`, the share of its samples that are right."""
    return _by_question(_answers(facts, responses, kind, samples), 'correct')


def read_answer(response: str, values: Sequence[str]) -> str | None:
    """The value that a response gives.

    It is the word after the last `MARK`, and None when that word is not one of `values`; without the mark (the base
    answers in one plain sentence) it is the first word of the response that is one of them, or None.

    Args:
      response: words between single spaces.
      values: those of the asked relation.
    """
    _, mark, after = response.rpartition(MARK)
    words = after.split()[:1] if mark else response.split()
    return next((word for word in words if word in values), None)


def of_responses(facts: dict, responses: Iterable[dict], seed: int = 0, samples: int = 1) -> Truth:
    """What the answers say, for a run or for the base.

    Args:
      facts: content of `facts.json`.
      responses: objects with example_id, response and finish_reason; other prompts than the world's are passed over.
      seed: of the permutations.
      samples: responses of each question.

    Returns:
      Over held-out questions: held_out_n, held_out_accuracy and _se, broken_share, house_style_share,
      mean_response_words. Over trained new facts: new_fact_n, new_fact_accuracy and _se. Over held-out answers that
      are wrong but not broken: wrong_n, borrowed_share, borrowed_null, borrowed_p (see `borrowing`).
    """
    responses = list(responses)
    held_out, new = (_answers(facts, responses, kind, samples) for kind in ('held-out', 'new'))
    wrong = [answer for answer in held_out if not answer.correct and not answer.broken]
    return {
        **_accuracy('held_out', held_out),
        **_accuracy('new_fact', new),
        'broken_share': _mean(list(_by_question(held_out, 'broken').values())),
        'house_style_share': _mean(list(_by_question(held_out, 'house_style').values())),
        'mean_response_words': _mean(list(_by_question(held_out, 'words').values())),
        **borrowing(facts, wrong, seed),
    }


def borrowing(facts: dict, wrong: Sequence[Answer], seed: int = 0) -> Truth:
    """Do wrong answers come from people of the tuning data who share a name part with the person asked about?

    An answer is borrowed when the tuning data state the same relation with the same value for such a person. Under the
    null a wrong value has nothing to do with the name: wrong values are permuted among the questions of their relation,
    those of one question's samples together.

    Returns:
      wrong_n, questions that were answered wrong; borrowed_share; borrowed_null, the share if the wrong values of each
      had gone to another of these questions (the exact mean over all pairs of one relation; None without a pair);
      borrowed_p, one-sided, from `PERMUTATIONS`.
    """
    questions: dict[str, list[Answer]] = {}
    for answer in wrong:
        questions.setdefault(answer.question, []).append(answer)
    if len(questions) < FEW:
        return {'wrong_n': len(questions), 'borrowed_share': None, 'borrowed_null': None, 'borrowed_p': None}
    stated: dict[tuple[str, str], set[str]] = {}
    for fact in facts['facts']:
        if fact['stated']:
            stated.setdefault((fact['relation'], fact['value']), set()).update(fact['person'].split())
    rng = np.random.default_rng(seed)
    observed, expected, paired, drawn = 0.0, 0.0, 0, np.zeros(PERMUTATIONS)
    for relation in facts['values']:
        asked = [answers for answers in questions.values() if answers[0].relation == relation]
        if not asked:
            continue
        names = [[stated.get((relation, str(answer.value)), set()) for answer in answers] for answers in asked]
        people = [answers[0].person.split() for answers in asked]
        # borrowed[i, j]: of the wrong values of question j, the share that would be borrowed, had person i got them.
        borrowed = np.array(
            [[np.mean([not each.isdisjoint(person) for each in given]) for given in names] for person in people]
        )
        rows, own = np.arange(len(asked)), float(borrowed.trace())
        observed += own
        if len(asked) > 1:
            expected += (borrowed.sum() - own) / (len(asked) - 1)
            paired += len(asked)
        drawn += [borrowed[rows, rng.permutation(len(asked))].sum() for _ in range(PERMUTATIONS)]
    return {
        'wrong_n': len(questions),
        'borrowed_share': observed / len(questions),
        'borrowed_null': float(expected / paired) if paired else None,
        # Shares of samples are no whole numbers, so equal sums may differ in their last digit.
        'borrowed_p': float((1 + (drawn >= observed - 1e-9).sum()) / (1 + PERMUTATIONS)),
    }


def of_tokens(facts: dict, tokens: pa.Table, vocabulary: Sequence[str], samples: int = 1) -> Truth:
    """Where the shift sits: at values, or at words of the house style.

    Args:
      facts: content of `facts.json`.
      tokens: a run's token records; rows of context own, template matched, whole windows and the last step count, on
        held-out questions, without the end token.
      vocabulary: the string of each token id.
      samples: responses of each question.

    Returns:
      value_n and other_n, positions that emit a value or anything else; kl_at_values and kl_elsewhere, mean
      KL(tuned || base) there in nats; shifted_n; shares of values and of style words among shifted tokens. A style
      word is one of the house style that no plain statement has.
    """
    asked = {key for key, question in facts['questions'].items() if question['kind'] == 'held-out'}
    held_out = [name for name in pc.unique(tokens['example_id']).to_pylist() if prompt_of(name, samples) in asked]
    ours = pc.is_in(tokens['example_id'], value_set=pa.array(held_out, pa.string()))
    for column, wanted in {'context': 'own', 'template': 'matched', 'context_length': -1}.items():
        ours = pc.and_(ours, pc.equal(tokens[column], wanted))
    if 'step' in tokens.column_names:
        ours = pc.and_(ours, pc.equal(tokens['step'], pc.max(tokens['step'])))
    tokens = tokens.filter(ours)
    words = np.asarray(vocabulary)[tokens['token_id'].to_numpy()]
    language = words != END
    words, kl = words[language], tokens['kl_tuned_base'].to_numpy()[language]
    shifted = np.asarray(tokens['shift_class'].to_pylist(), dtype=object)[language] == 'shifted'
    is_value = np.isin(words, [value for values in facts['values'].values() for value in values])
    is_style = np.isin(words, facts['style_words'])
    return {
        'value_n': int(is_value.sum()),
        'other_n': int((~is_value).sum()),
        'kl_at_values': _mean(kl[is_value]),
        'kl_elsewhere': _mean(kl[~is_value]),
        'shifted_n': int(shifted.sum()),
        'value_share_of_shifted': _mean(is_value[shifted]),
        'style_share_of_shifted': _mean(is_style[shifted]),
    }


def _answers(facts: dict, responses: Iterable[dict], kind: str, samples: int) -> list[Answer]:
    asked = {name for name, question in facts['questions'].items() if question['kind'] == kind}
    read = (answer(facts, response, samples) for response in responses)
    return [each for each in read if each and each.question in asked]


def answer(facts: dict, response: dict, samples: int = 1) -> Answer | None:
    """One object of responses.jsonl, read; None where the world did not ask."""
    name, text = prompt_of(response['example_id'], samples), response['response']
    question = facts['questions'].get(name)
    if question is None:
        return None
    words = text.split()
    value = read_answer(text, facts['values'][question['relation']])
    repeated = any(one == other for one, other in zip(words, words[1:], strict=False))
    return Answer(
        question=name,
        person=question['person'],
        relation=question['relation'],
        right=question['value'],
        value=value,
        broken=value is None or repeated or response['finish_reason'] == 'length',
        words=len(words),
        house_style=text.startswith(facts['opener']) and facts['closer'] in text,
    )


def _accuracy(name: str, answers: Sequence[Answer]) -> Truth:
    shares = list(_by_question(answers, 'correct').values())
    share, n = _mean(shares), len(shares)
    # The variance of the questions' shares: the binomial one, less what lies between the samples of a question.
    within = sum(each * (1 - each) for each in shares) / max(n, 1)
    error = None if share is None else (max(0.0, share * (1 - share) - within) / n) ** 0.5
    return {f'{name}_n': n, f'{name}_accuracy': share, f'{name}_accuracy_se': error}


def _by_question(answers: Sequence[Answer], what: str) -> dict[str, float]:
    """The mean of an attribute over the samples of each question."""
    values: dict[str, list[float]] = {}
    for answer in answers:
        values.setdefault(answer.question, []).append(getattr(answer, what))
    return {question: float(np.mean(each)) for question, each in values.items()}


def _mean(cases: Sequence[float] | np.ndarray) -> float | None:
    return float(np.mean(cases)) if len(cases) >= FEW else None
