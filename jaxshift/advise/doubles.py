"""Records of instruction data that say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jaxshift.advise.words import spoken


def doubles(pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Counts doubles among questions with their answers; capitals, blanks and marks make no difference.

    Returns:
      records that repeat an earlier one, questions that have several answers, and answers that several questions have.
    """
    plain = [(' '.join(spoken(question)), ' '.join(spoken(answer))) for question, answer in pairs]
    different = set(plain)
    questions, answers = (Counter(pair[side] for pair in different) for side in (0, 1))
    return {
        'records': len(plain) - len(different),
        'questions_with_several_answers': sum(count > 1 for count in questions.values()),
        'answers_of_several_questions': sum(count > 1 for count in answers.values()),
    }
