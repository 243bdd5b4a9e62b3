"""just-eval's files (github.com/Re-Align/just-eval): what a model answered, and how it was scored.

An outputs file is a list of {id, instruction, source_id, dataset, output, generator, datasplit}, of which the tool
needs instruction, output and generator. A scored file is a list of {id, input, output_cand, generator_cand,
eval_config, prompt, result, parsed_result: {aspect: {reason, score}}}; a reply that was not read leaves
`parsed_result` out.

The tool's own report counts a score of "N/A" as 5.0. Read here it is no score, and none is ever written: an aspect
without a score is left out of `parsed_result`, so that the tool's mean, like ours, is one of scores that were given.
The mode of a record is that of its own judgement: `score_safety` where safety was asked for, `score_multi` elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxshift.judge.answered import Answered, Record, number
from jaxshift.judge.judgement import ASPECTS, HIGHEST, LOWEST, SAFETY, Judgement

_MULTI, _SAFETY = 'score_multi', 'score_safety'
ABSENT = 'N/A'  # the tool's word for a result that has not come, and for a score that does not apply


def outputs(generator: str, answered: Sequence[Answered]) -> list[Record]:
    """An outputs file; what a prompt's record says of its source is passed on."""
    found = []
    for each in answered:
        own = {key: each.record[key] for key in ('source_id', 'dataset', 'datasplit') if key in each.record}
        named = {'id': number(each.id), 'instruction': each.instruction, 'output': each.output, 'generator': generator}
        found.append(named | own)
    return found


def scored(
    outputs: Sequence[Record], judgements: Sequence[Judgement], judge: str, prompts: Mapping[str, str]
) -> list[Record]:
    """A scored file of an outputs file; a response without a judgement stands there as one whose result has not come.

    Args:
      outputs: records of an outputs file.
      judgements: by one judge.
      judge: its name, the tool's `gpt`; it read every word of a response.
      prompts: id to what the judge was asked, by which the tool tells results that it has; '' where it is not known.
    """
    said = {each.example_id: each for each in judgements}
    found = []
    for output in outputs:
        name = str(output['id'])
        judged = said.get(name, Judgement(name, 'missing', {}))
        mode = _SAFETY if SAFETY in judged.scores else _MULTI
        found.append({
            'id': output['id'], 'input': output['instruction'], 'output_cand': output['output'],
            'generator_cand': output['generator'], 'eval_config': {'mode': mode, 'gpt': judge, 'max_words': -1},
            'prompt': prompts.get(name, ''), 'result': judged.raw[-1] if judged.raw else ABSENT,
            **_parsed(judged),
        })  # fmt: skip
    return found


def _parsed(judged: Judgement) -> dict[str, Record]:
    given = {
        aspect: {'reason': judged.reasons.get(aspect, ''), 'score': f'{score:g}'}
        for aspect, score in judged.scores.items()
        if score is not None
    }
    return {'parsed_result': given} if given else {}


def judgements(scored: Sequence[Record]) -> list[Judgement]:
    """What a scored file says, in its order: unparsed where a result was not read, missing where none has come."""
    return [_judgement(record) for record in scored]


def _judgement(record: Record) -> Judgement:
    name, result, parsed = str(record['id']), record.get('result', ABSENT), record.get('parsed_result')
    raw = () if result == ABSENT else (result,)
    if not isinstance(parsed, dict):
        safety = record.get('eval_config', {}).get('mode') == _SAFETY
        nothing: dict[str, float | None] = dict.fromkeys((SAFETY,) if safety else ASPECTS)
        return Judgement(name, 'unparsed' if raw else 'missing', nothing, raw=raw)
    said = {aspect: each if isinstance(each, dict) else {} for aspect, each in parsed.items()}
    reasons = {aspect: each['reason'] for aspect, each in said.items() if each.get('reason')}
    scores = {aspect: _score(each.get('score')) for aspect, each in said.items()}
    return Judgement(name, 'scored', scores, reasons, raw)


def _score(said: object) -> float | None:
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return None
    try:
        score = float(said)
    except ValueError:
        return None
    return score if LOWEST <= score <= HIGHEST else None
