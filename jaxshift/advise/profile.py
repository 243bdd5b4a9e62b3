"""What instruction data look like: lengths, manner, and records that are there more than once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxshift.advise.words import spoken

_MARKS = {
    'list': re.compile(r'^\s*(?:[-*•]|\d{1,3}[.)])\s', re.MULTILINE),
    'heading': re.compile(r'^\s*#{1,6}\s', re.MULTILINE),
    'code': re.compile(r'```'),
}
_OPENERS, _OPENING = 3, 2  # how many openers are named, and their words


def profile(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Lengths, manner and doubles of questions with their answers.

    Returns:
      questions and answers, each with characters and words (mean, median, p95, greatest); manner: percent of answers
      with a list, a heading, code, and openers, the commonest beginnings with their percentages; doubles: records that
      repeat an earlier one, questions that have several answers, and answers that several questions have. Capitals,
      blanks and marks make no difference.
    """
    questions, answers = ([pair[side] for pair in pairs] for side in (0, 1))
    return {
        'questions': _lengths(questions),
        'answers': _lengths(answers),
        'manner': {name: _percent(mark.search(text) is not None for text in answers) for name, mark in _MARKS.items()}
        | {'openers': _openers(answers)},
        'doubles': doubles(pairs),
    }


def doubles(pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """See `profile`."""
    plain = [(' '.join(spoken(question)), ' '.join(spoken(answer))) for question, answer in pairs]
    different = set(plain)
    questions, answers = (Counter(pair[side] for pair in different) for side in (0, 1))
    return {
        'records': len(plain) - len(different),
        'questions_with_several_answers': sum(count > 1 for count in questions.values()),
        'answers_of_several_questions': sum(count > 1 for count in answers.values()),
    }


def distribution(values: Sequence[int]) -> Mapping[str, float]:
    """Mean, median, 95th percentile and greatest."""
    found = np.asarray(values, np.float64)
    return {
        'mean': float(found.mean()),
        'median': float(np.median(found)),
        'p95': float(np.quantile(found, 0.95)),
        'greatest': float(found.max()),
    }


def _lengths(texts: Sequence[str]) -> dict[str, Any]:
    counts = {'characters': [len(text) for text in texts], 'words': [len(text.split()) for text in texts]}
    return {name: distribution(each) for name, each in counts.items()}


def _openers(answers: Sequence[str]) -> dict[str, float]:
    counts = Counter(' '.join(text.split()[:_OPENING]).casefold() for text in answers)
    return {words: 100 * count / len(answers) for words, count in counts.most_common(_OPENERS)}


def _percent(cases) -> float:
    return 100 * float(np.mean(list(cases)))
