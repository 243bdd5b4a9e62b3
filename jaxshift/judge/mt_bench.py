"""MT-bench's files (FastChat, fastchat/llm_judge): questions, a model's answers, a judge's judgments.

question.jsonl has {question_id, category, turns, reference?}; model_answer/MODEL.jsonl has {question_id, answer_id,
model_id, choices: [{index, turns}], tstamp}; model_judgment/JUDGE_single.jsonl has {question_id, model, judge,
user_prompt, judgment, score, turn, tstamp} with a rating from 1 to 10, -1 where none was read, which the tool leaves
out of its means; JUDGE_pair.jsonl has g1_winner and g2_winner, the two orders. Responses answer first turns alone, so
`questions` writes questions of one turn beside them, and the tool then asks for no second turn; ratings of second turns
are left out, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jaxshift.judge.answered import Answered, Record, number
from jaxshift.judge.judgement import Judgement

OVERALL, BEST = 'overall', 10  # the aspect that a rating is, and its highest score, unlike that of the others
_NO_RATING = -1


def answers(generator: str, answered: Sequence[Answered]) -> list[Record]:
    """One object of a model_answer file for each prompt; its samples are the tool's choices."""
    found: dict[str, Record] = {}
    for each in answered:
        question = _question_id(each)
        line: Record = {
            'question_id': question,
            'answer_id': f'{generator}-{question}',
            'model_id': generator,
            'choices': [],
        }
        choices = found.setdefault(each.prompt, line)['choices']
        choices.append({'index': len(choices), 'turns': [each.output]})
    return list(found.values())


def questions(answered: Sequence[Answered]) -> list[Record]:
    """The questions behind `answers`, of one turn each, with the category and reference of their records."""
    found: dict[str, Record] = {}
    for each in answered:
        reference = {'reference': each.record['reference'][:1]} if each.record.get('reference') else {}
        found[each.prompt] = {
            'question_id': _question_id(each), 'category': each.record.get('category', 'general'),
            'turns': [each.instruction], **reference,
        }  # fmt: skip
    return list(found.values())


def _question_id(each: Answered) -> int | str:
    return each.record.get('question_id', number(each.prompt))


def judgements(judgments: Sequence[Record], model: str) -> tuple[list[Judgement], Counter[str]]:
    """One model's ratings of first turns, in their order, under the aspect `OVERALL`; and how many are left out."""
    left = Counter(
        'of another model' if line['model'] != model else 'of a later turn'
        for line in judgments
        if line['model'] != model or line.get('turn', 1) != 1
    )
    return [
        Judgement(
            str(line['question_id']),
            'unparsed' if line['score'] == _NO_RATING else 'scored',
            {OVERALL: None if line['score'] == _NO_RATING else float(line['score'])},
            raw=(line['judgment'],),
        )
        for line in judgments
        if line['model'] == model and line.get('turn', 1) == 1
    ], left


def judgments(
    generator: str, answered: Sequence[Answered], judged: Sequence[Judgement], aspect: str, judge: str
) -> list[Record]:
    """Lines of a model_judgment file from the scores of one aspect, for each response that was judged on it.

    The tool takes the mean of every score in a file, so each aspect has a file of its own, on its own scale.

    Args:
      generator: as in `answers`.
      answered: the responses.
      judged: by one judge.
      aspect: whose scores are the tool's `score`; a response without one gets the tool's -1.
      judge: its name; the tool's pair has the aspect behind it.
    """
    said = {each.example_id: each for each in judged if aspect in each.scores}
    return [
        {
            'question_id': _question_id(each),
            'model': generator,
            'judge': [judge, aspect],
            'user_prompt': '',
            'judgment': found.raw[-1] if found.raw else '',
            'score': _NO_RATING if found.scores[aspect] is None else found.scores[aspect],
            'turn': 1,
        }
        for each in answered
        if (found := said.get(each.id))
    ]
