"""The summary of a judge's file, and the groups that prompts fall into."""

import json

import pytest

from jaxshift.data.formats import Example, parse
from jaxshift.data.sources import Record
from jaxshift.errors import InputError
from jaxshift.judge import judgement, summary
from jaxshift.judge.judgement import Judgement


def examples(**fields):
    rows = [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
    return [Example(str(i), (), '', tags={key: tuple(v) if isinstance(v, list) else (v,) for key, v in row.items()})
            for i, row in enumerate(rows)]  # fmt: skip


def test_fields_that_sort_prompts_are_groups():
    found = summary.tags_of(examples(topic=['art', 'law', 'art', 'law'], name=list('abcd'), split=['x'] * 4))
    assert found['1'] == {'topic': ('law',)}


def test_the_number_of_a_just_eval_source_is_no_group():
    found = summary.tags_of(examples(source_id=['lima-0', 'lima-17', 'mt_bench-3', 'mt_bench-10']))
    assert [found[name]['source_id'] for name in '0123'] == [('lima',), ('lima',), ('mt_bench',), ('mt_bench',)]


def test_tags_are_short_texts_that_no_format_reads():
    record = {'instruction': 'Who?', 'output': 'Ada.', 'task': ['recall', 'names'], 'topic': 'law', 'n': 3,
              'essay': 'x' * 500, 'empty': ''}  # fmt: skip
    (example,) = parse('f', [Record('f', 0, 'f:1', record)]).examples
    assert example.tags == {'task': ('recall', 'names'), 'topic': ('law',)}


def test_a_summary_is_written_and_read(tmp_path):
    judgement.write(
        tmp_path / 'gpt.jsonl', [Judgement('0', 'scored', {'depth': 4.0}), Judgement('1', 'scored', {'depth': 2.0})]
    )
    responses = [{'example_id': str(i)} for i in range(4)]
    path = summary.write(
        tmp_path, 'gpt', responses, {str(i): {'topic': (('art', 'law')[i % 2],)} for i in range(4)}, 1, 100, 0
    )
    assert path == tmp_path / 'gpt.json'
    found, judged = summary.read(tmp_path)['gpt']
    assert found == json.loads(path.read_text())
    assert [each.example_id for each in judged] == ['0', '1']
    assert found['judge'] == 'gpt'
    assert found['aspects']['depth']['mean'] == 3
    assert found['aspects']['depth']['counts']['missing'] == 2
    assert [(item['value'], item['aspects']['depth']['mean']) for item in found['groups']] == [('art', 4), ('law', 2)]


def test_other_files_of_the_folder_are_left_alone(tmp_path):
    (tmp_path / 'pairs.json').write_text('{"counts": {}}')
    assert summary.read(tmp_path) == {}
    assert summary.read(tmp_path / 'nowhere') == {}


def test_a_judgement_of_another_response_is_named_with_its_file(tmp_path):
    judgement.write(tmp_path / 'gpt.jsonl', [Judgement('z', 'scored', {'depth': 4.0})])
    with pytest.raises(InputError, match=r'gpt\.jsonl: example z'):
        summary.write(tmp_path, 'gpt', [{'example_id': 'a'}], {}, 1, 100, 0)


def test_words_of_a_judge_may_hold_any_line_end(tmp_path):
    judged = [Judgement('0', 'scored', {'depth': 4.0}, {'depth': 'deep\u2028and\x85wide\r\n'}, ('a\u2029b',))]
    judgement.write(tmp_path / 'gpt.jsonl', judged)
    assert judgement.read(tmp_path / 'gpt.jsonl') == judged


def test_a_summary_without_its_judgements_is_named(tmp_path):
    (tmp_path / 'gpt.json').write_text('{"aspects": {}}')
    with pytest.raises(InputError, match=r'gpt\.jsonl: no such file'):
        summary.read(tmp_path)


def test_one_raw_reply_given_as_a_text_stays_one(tmp_path):
    line = {'example_id': 'a', 'outcome': 'scored', 'scores': {'depth': 4}, 'reasons': {}, 'raw': 'Four.'}
    (tmp_path / 'gpt.jsonl').write_text(json.dumps(line) + '\n')
    assert judgement.read(tmp_path / 'gpt.jsonl')[0].raw == ('Four.',)
