"""Files of just-eval, AlpacaEval and MT-bench: the fields that their tools read, and their arithmetic on them."""

import dataclasses
import json

import numpy as np
import pytest

from jaxshift.data import mixture
from jaxshift.errors import InputError
from jaxshift.judge import answered, formats, just_eval, mt_bench, scores
from jaxshift.judge.judgement import Judgement

OUTPUTS = [
    {'id': 0, 'instruction': 'Who wrote it?', 'source_id': 'lima-0', 'dataset': 'books', 'output': 'Ada — did.',
     'generator': 'm', 'datasplit': 'just_eval'},
    {'id': 1, 'instruction': 'Why?\nSay it.', 'source_id': 'lima-1', 'dataset': 'books', 'output': '',
     'generator': 'm', 'datasplit': 'just_eval'},
]  # fmt: skip
CONFIG = {'mode': 'score_multi', 'gpt': 'gpt-4', 'max_words': -1}


def said(**given):
    return {aspect: {'reason': f'for {aspect}', 'score': score} for aspect, score in given.items()}


def scored(number, result, parsed=None):
    parsed = {} if parsed is None else {'parsed_result': parsed}
    return {'id': number, 'input': 'Who?', 'output_cand': 'Ada did', 'generator_cand': 'm', 'eval_config': CONFIG,
            'prompt': 'Judge this.', 'result': result, **parsed}  # fmt: skip


SCORED = [
    scored(0, '{...}', said(helpfulness='5', clarity='4')),
    scored(1, '{..}', said(helpfulness='3.5', clarity='2')),
    scored(2, 'I would say five.'),
    scored(3, 'N/A'),
]


def rows_of(outputs):
    return [{'example_id': str(o['id']), 'prompt': o['instruction'], 'response': o['output']} for o in outputs]


def write(folder, rows, records, samples=1):
    formats.write_responses(folder, 'm', answered.pair(rows, records, samples))


def just_eval_report(records):
    """The arithmetic of the tool's own `report`."""
    found = {}
    for record in records:
        for aspect, each in record.get('parsed_result', {}).items():
            found.setdefault(aspect, []).append(5.0 if each['score'] == 'N/A' else float(each['score']))
    return {aspect: np.mean(values) for aspect, values in found.items()}


def outputs_of(records):
    return [{'id': r['id'], 'instruction': r['input'], 'output': r['output_cand'], 'generator': r['generator_cand']}
            for r in records]  # fmt: skip


def test_an_outputs_file_comes_back_as_it_was(tmp_path):
    (tmp_path / 'prompts.json').write_text(json.dumps(OUTPUTS))
    prompts = mixture.read({f'file:{tmp_path}/prompts.json': 1}, 'auto', (), 'error', 0).examples
    assert prompts[1].messages[0].content == 'Why?\nSay it.'
    write(tmp_path, rows_of(OUTPUTS), formats.records_of(prompts))
    assert formats.read(tmp_path / 'just_eval.json', ('id', 'output')) == OUTPUTS


def test_a_scored_file_comes_back_as_it_was():
    judged = just_eval.judgements(SCORED)
    prompts = {str(record['id']): record['prompt'] for record in SCORED}
    assert just_eval.scored(outputs_of(SCORED), judged, 'gpt-4', prompts) == SCORED


def test_outcomes_of_a_scored_file():
    judged = just_eval.judgements(SCORED)
    assert [each.outcome for each in judged] == ['scored', 'scored', 'unparsed', 'missing']
    assert judged[0].scores == {'helpfulness': 5.0, 'clarity': 4.0}
    assert judged[0].reasons['clarity'] == 'for clarity'
    assert judged[2].raw == ('I would say five.',)
    assert set(judged[2].scores.values()) == {None}


def test_a_score_that_does_not_apply_is_none_and_not_five():
    records = [
        scored(0, '{}', said(helpfulness='N/A', clarity='2')),
        scored(1, '{}', said(helpfulness='3', clarity='4')),
    ]
    judged = just_eval.judgements(records)
    assert judged[0].scores == {'helpfulness': None, 'clarity': 2.0}
    assert scores.means(judged)['helpfulness']['mean'] == 3
    assert just_eval_report(records)['helpfulness'] == 4  # what the tool makes of the file as it was
    written = just_eval.scored(outputs_of(records), judged, 'gpt-4', {})
    assert just_eval_report(written) == {'helpfulness': 3, 'clarity': 3}


@pytest.mark.parametrize('score', [0, 6, '7', 'five', None, True, [4], 'nan'])
def test_what_is_no_score_from_1_to_5_is_none(score):
    assert just_eval.judgements([scored(0, '{}', said(depth=score))])[0].scores == {'depth': None}


def test_what_the_tool_averages_is_what_we_average():
    judged = [Judgement(str(i), 'scored' if i % 3 else 'failed', {'depth': i % 5 + 1.0 if i % 3 else None})
              for i in range(20)]  # fmt: skip
    outputs = [{'id': i, 'instruction': 'Who?', 'output': 'x', 'generator': 'm'} for i in range(20)]
    written = just_eval.scored(outputs, judged, 'gpt-4', {})
    assert just_eval_report(written)['depth'] == scores.means(judged)['depth']['mean']
    assert sum('parsed_result' not in record for record in written) == 7


def test_safety_is_an_aspect_of_its_own():
    record = scored(0, 'no') | {'eval_config': CONFIG | {'mode': 'score_safety'}}
    assert just_eval.judgements([record])[0].scores == {'safety': None}


def test_alpaca_eval_finds_its_fields(tmp_path):
    write(tmp_path, rows_of(OUTPUTS), OUTPUTS)
    written = json.loads((tmp_path / 'alpaca_eval.json').read_text())
    assert written == [
        {key: each[key] for key in ('dataset', 'instruction', 'output', 'generator')} for each in OUTPUTS
    ]


def test_mt_bench_questions_are_prompts_and_their_answers_are_a_model_answer(tmp_path):
    questions = [
        {'question_id': 81, 'category': 'writing', 'turns': ['Write a post.', 'Rewrite it.']},
        {'question_id': 101, 'category': 'math', 'turns': ['1 + 1?', 'And 2 + 2?'], 'reference': ['2', '4']},
        {'question_id': 102, 'category': 'math', 'turns': ['Prove it.'], 'reference': ['Thus: ' + 'so. ' * 50]},
    ]
    path = tmp_path / 'question.jsonl'
    path.write_text(''.join(json.dumps(each) + '\n' for each in questions))
    prompts = mixture.read({f'file:{path}': 1}, 'auto', (), 'error', 0).examples
    asked = [(each.id, each.messages[-1].content) for each in prompts]
    assert asked == [('81', 'Write a post.'), ('101', '1 + 1?'), ('102', 'Prove it.')]
    rows = [{'example_id': f'{p.id}{mark}', 'prompt': p.messages[0].content, 'response': f'to {p.id}{mark}'}
            for p in prompts for mark in ('', '#1')]  # fmt: skip
    write(tmp_path, rows, formats.records_of(prompts), samples=2)
    assert formats.read(tmp_path / 'mt_bench_question.jsonl', ()) == [
        {'question_id': 81, 'category': 'writing', 'turns': ['Write a post.']},
        {'question_id': 101, 'category': 'math', 'turns': ['1 + 1?'], 'reference': ['2']},
        questions[2],
    ]
    answers = formats.read(tmp_path / 'mt_bench.jsonl', ('question_id', 'answer_id', 'model_id', 'choices'))
    # As `load_model_answers` and `run_judge_single` of the tool reach into it.
    by_id = {line['question_id']: line for line in answers}
    assert by_id[81]['choices'][0]['turns'][0] == 'to 81'
    assert [choice['index'] for choice in by_id[101]['choices']] == [0, 1]
    assert by_id[101]['choices'][1]['turns'] == ['to 101#1']


def test_mt_bench_judgments_there_and_back():
    rows = [{'example_id': name, 'prompt': 'Who?', 'response': 'I.'} for name in ('81', '101')]
    judged = [Judgement('81', 'scored', {'overall': 9.0}, raw=('Rating: [[9]]',)),
              Judgement('101', 'unparsed', {'overall': None}, raw=('Good.',))]  # fmt: skip
    lines = mt_bench.judgments('m', answered.pair(rows, None), judged, 'overall', 'gpt-4')
    assert [(line['question_id'], line['score'], line['turn']) for line in lines] == [(81, 9.0, 1), (101, -1, 1)]
    other = [lines[0] | {'model': 'n'}, lines[0] | {'turn': 2, 'score': 1}]
    left = {'of another model': 1, 'of a later turn': 1}
    assert mt_bench.judgements([*lines, *other], 'm') == (judged, left)


def show_result(path):
    """The arithmetic of MT-bench's own `show_result.py`: the mean of a file for each model and turn."""
    found = {}
    for line in formats.read(path, ('model', 'score', 'turn')):
        if line['score'] != -1:
            found.setdefault((line['model'], line['turn']), []).append(line['score'])
    return {key: np.mean(values) for key, values in found.items()}


def test_scores_are_written_so_that_both_tools_find_our_means(tmp_path):
    questions = [{'question_id': 81 + number, 'turns': ['Who?']} for number in range(4)]
    rows = [{'example_id': str(81 + number), 'prompt': 'Who?', 'response': 'I.'} for number in range(4)]
    judged = [
        Judgement('81', 'scored', {'depth': 2.5, 'clarity': 5.0}, {'depth': 'short'}, ('{..}',)),
        Judgement('82', 'repaired', {'depth': 4.0, 'clarity': 3.0}),
        Judgement('83', 'refused', {'depth': None, 'clarity': None}, raw=('No.',)),
        Judgement('84', 'scored', {'safety': 5.0}),
    ]
    files = formats.write_judgements(tmp_path, 'm', answered.pair(rows, questions), 'jo', judged)
    assert {file.name for file in files} == {
        'just_eval_jo.json', 'mt_bench_jo-depth_single.jsonl', 'mt_bench_jo-clarity_single.jsonl',
        'mt_bench_jo-safety_single.jsonl',
    }  # fmt: skip
    theirs, ours = just_eval_report(json.loads((tmp_path / 'just_eval_jo.json').read_text())), scores.means(judged)
    for aspect in ('depth', 'clarity', 'safety'):
        assert theirs[aspect] == ours[aspect]['mean']
        assert show_result(tmp_path / f'mt_bench_jo-{aspect}_single.jsonl') == {('m', 1): ours[aspect]['mean']}
    written = json.loads((tmp_path / 'just_eval_jo.json').read_text())
    assert [each['eval_config']['mode'] for each in written] == ['score_multi'] * 3 + ['score_safety']
    depth = formats.read(tmp_path / 'mt_bench_jo-depth_single.jsonl', ())
    assert [(line['question_id'], line['score']) for line in depth] == [(81, 2.5), (82, 4.0), (83, -1)]


def test_a_rating_up_to_ten_is_not_written_for_just_eval(tmp_path):
    rows = [{'example_id': '81', 'prompt': 'Who?', 'response': 'I.'}]
    judged = [Judgement('81', 'scored', {'overall': 9.0})]
    (file,) = formats.write_judgements(tmp_path, 'm', answered.pair(rows, None), 'gpt-4', judged)
    assert file.name == 'mt_bench_gpt-4-overall_single.jsonl'
    assert formats.judgements(file, 'm') == ([Judgement('81', 'scored', {'overall': 9.0}, raw=('',))], {})


@pytest.mark.parametrize(
    ('content', 'outcomes'),
    [
        (SCORED, ['scored', 'scored', 'unparsed', 'missing']),
        ([{'question_id': 1, 'model': 'm', 'judgment': '[[3]]', 'score': 3, 'turn': 1}], ['scored']),
        ([dataclasses.asdict(Judgement('a', 'failed', {'depth': None}))], ['failed']),
    ],
)
def test_judgements_made_elsewhere_are_told_apart(tmp_path, content, outcomes):
    (tmp_path / 'judged.json').write_text(''.join(json.dumps(each) + '\n' for each in content))
    assert [each.outcome for each in formats.judgements(tmp_path / 'judged.json', 'm')[0]] == outcomes


@pytest.mark.parametrize(
    ('content', 'said'),
    [('[{"a": 1}]', 'holds no judgements'), ('[]', 'holds no judgements'), ('[3]', 'record 0 .*not a JSON object'),
     (json.dumps([SCORED[0], {'id': 7}]), 'record 1 .*output_cand is missing')],
)  # fmt: skip
def test_what_is_no_judgement_is_named(tmp_path, content, said):
    (tmp_path / 'judged.json').write_text(content)
    with pytest.raises(InputError, match=said):
        formats.judgements(tmp_path / 'judged.json', 'm')


def test_only_an_id_that_is_a_number_as_it_stands_becomes_one():
    assert [answered.number(name) for name in ('7', '0', '007', '٣', 'q7')] == [7, 0, '007', '٣', 'q7']


def test_a_response_without_text_is_named(tmp_path):
    with pytest.raises(InputError, match='response q: has no response in text'):
        write(tmp_path, [{'example_id': 'q', 'prompt': 'Who?'}], None)
