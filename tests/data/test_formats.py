"""Files of instruction data become examples; every bad one is named."""

import json

import pytest

from jaxshift.data import formats, mixture
from jaxshift.data.formats import Message, Refusal
from jaxshift.errors import InputError


def read(path, *args, **options):
    return mixture.read({f'file:{path}': 1}, *args, **options)


def format_of(found):
    (figures,) = found.sources.values()
    return figures['format']


def write(path, *records, lines=False):
    text = '\n'.join(map(json.dumps, records)) if lines else json.dumps(records)
    path.write_text(text, encoding='utf-8')
    return path


def test_alpaca_joins_instruction_and_input_and_keeps_history(tmp_path):
    record = {'instruction': 'add', 'input': '1 2', 'output': '3', 'system': 'sum', 'history': [['hi', 'hello']]}
    found = read(write(tmp_path / 'a.json', record, {'instruction': 'q', 'input': '', 'output': ''}))
    assert format_of(found) == 'alpaca'
    assert found.examples[0].messages == (
        Message('system', 'sum'),
        Message('user', 'hi'),
        Message('assistant', 'hello'),
        Message('user', 'add\n1 2'),
        Message('assistant', '3'),
    )
    assert [example.id for example in found.examples] == ['0', '1']
    assert found.examples[1].messages == (Message('user', 'q'), Message('assistant', ''))


@pytest.mark.parametrize('lines', [False, True])
def test_messages_are_read_from_json_and_json_lines(tmp_path, lines):
    turns = [{'role': role, 'content': role} for role in ('system', 'user', 'assistant', 'user', 'assistant')]
    found = read(write(tmp_path / 'm', {'messages': turns, 'id': 7}, {'messages': turns[:2]}, lines=lines))
    assert format_of(found) == 'messages'
    answered, asked = found.examples
    assert (answered.id, asked.id) == ('7', '1')
    assert formats.prompts(answered) == answered.messages[:-1]
    assert formats.prompts(asked) == asked.messages


def test_prompts_need_no_output_and_limit_counts_records(tmp_path):
    path = write(tmp_path / 'p.jsonl', *({'instruction': f'q{i}'} for i in range(5)), lines=True)
    found = read(path, limit=2)
    assert [formats.prompts(example)[-1].content for example in found.examples] == ['q0', 'q1']


def test_a_line_separator_inside_a_text_does_not_end_the_line(tmp_path):
    path = tmp_path / 'u.jsonl'
    path.write_text('{"instruction": "a\u2028b\x85c"}\n', encoding='utf-8')
    assert read(path).examples[0].messages[0].content == 'a\u2028b\x85c'


QUESTION = [{'role': 'user', 'content': 'q'}]
BAD = [
    ({'input': 'x'}, 'instruction: is missing'),
    ({'instruction': 5}, 'instruction: is a number'),
    ({'instruction': ''}, 'instruction: is empty'),
    ({'instruction': 'q', 'history': [['q']]}, r'history\[0\]: is not a pair'),
    ({'instruction': 'q', 'id': 1.5}, 'id: is a number'),
    ({'instruction': '\ud800'}, 'instruction: holds half of a surrogate'),
    ('text', 'record: is a text, not a JSON object'),
    ({'messages': []}, 'messages: is an empty list'),
    ({'messages': [{'role': 'robot', 'content': ''}]}, r"messages\[0\].role: 'robot' is not known"),
    ({'messages': [{'role': 'tool', 'content': ''}]}, 'messages: has the roles tool'),
    ({'messages': [{'role': 'user', 'content': None}]}, r'messages\[0\].content: is null'),
    ({'messages': [{'role': 'user', 'content': 'a'}] * 2}, 'messages: has the roles user, user'),
    ({'messages': [{'role': 'system', 'content': 'a'}]}, 'messages: has the roles system'),
    ({'messages': QUESTION, 'functions': [{'name': 'f'}]}, 'functions: cannot be represented; write them into'),
    *(
        (
            {'messages': [*QUESTION, {'role': 'assistant', 'content': 'a', key: value}]},
            rf'messages\[1\].{key}: {problem}',
        )
        for key, value, problem in (
            ('weight', 0, 'is 0, an answer that is not trained'),
            ('function_call', {'name': 'f'}, 'cannot be represented'),
            ('reasoning_content', 'hm', 'cannot be represented'),
        )
    ),
]


@pytest.mark.parametrize(('record', 'problem'), BAD)
def test_a_bad_record_is_named_by_line_or_number(tmp_path, record, problem):
    kind = 'messages' if isinstance(record, dict) and 'messages' in record else 'alpaca'
    good = {'instruction': 'q', 'messages': [{'role': 'user', 'content': 'q'}]}
    with pytest.raises(InputError, match=r'l\.jsonl:2: ' + problem):
        read(write(tmp_path / 'l.jsonl', good, record, lines=True), kind)
    with pytest.raises(InputError, match=r'a\.json: record 1 \(the first is 0\): ' + problem):
        read(write(tmp_path / 'a.json', good, record), kind)
    found = read(tmp_path / 'a.json', kind, on_bad='skip')
    assert len(found.examples) == 1
    assert len(found.refused) == 1


def test_turns_of_sharegpt_may_have_the_keys_of_messages(tmp_path):
    turns = [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'a'}]
    spelled = [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]
    found = read(write(tmp_path / 'a.json', {'conversations': turns}, {'conversations': spelled}), 'sharegpt').examples
    assert found[0].messages == found[1].messages


def test_an_empty_cell_is_the_empty_text_that_json_would_have(tmp_path):
    records = {'instruction': 'q', 'input': '', 'output': ''}, {'instruction': 'r', 'input': 'i', 'output': 'o'}
    (tmp_path / 'b.csv').write_text('instruction,input,output,id\nq,,,\nr,i,o,\n')
    table, listed = read(tmp_path / 'b.csv'), read(write(tmp_path / 'a.json', *records))
    assert [(e.id, e.messages) for e in table.examples] == [(e.id, e.messages) for e in listed.examples]
    assert table.examples[0].messages == (('user', 'q'), ('assistant', ''))


def test_skipped_records_are_counted_by_reason_and_keep_the_indices(tmp_path):
    path = tmp_path / 's.jsonl'
    path.write_text(
        '{"instruction": "a"}\n{"instruction"\n\n{"instruction": ""}\n{"instruction": ""}\n{"instruction": "b"}'
    )
    with pytest.raises(InputError, match=r's\.jsonl:2: record: is not JSON'):
        read(path)
    found = read(path, on_bad='skip')
    assert [example.id for example in found.examples] == ['0', '4']
    assert found.refused == [
        Refusal(f'{path}:2', 'record: is not JSON'),
        Refusal(f'{path}:4', 'instruction: is empty'),
        Refusal(f'{path}:5', 'instruction: is empty'),
    ]


def test_two_records_of_one_id_are_both_named(tmp_path):
    path = write(
        tmp_path / 'd.jsonl', {'instruction': 'a', 'id': 'x'}, {'instruction': 'b', 'example_id': 'x'}, lines=True
    )
    with pytest.raises(InputError, match=r"d\.jsonl:2: id: is used twice; 'x' is also at .*d\.jsonl:1"):
        read(path)


@pytest.mark.parametrize(
    ('content', 'problem'),
    [
        (None, 'does not exist'),
        (b'', 'holds no record'),
        (b'[]', 'holds no record'),
        (b'hello', 'neither a JSON list'),
        (b'[{"instruction": "a"}', 'not a JSON list'),
        (b'{"instruction":\n"a"}', 'no record can be read; the first is not JSON; Expecting value: line 1'),
        (b'[3]', 'no record can be read; the first is no object'),
        (b'[{"query": "a"}]', 'unknown format.*keys query'),
        (b'{"data": [{"instruction": "a"}]}', 'unknown format.*keys data'),
        (b'[{"instruction": "\xff"}]', 'byte 18 is not UTF-8'),
        (b'[{"instruction": ""}]', 'record 0'),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(tmp_path, content, problem):
    path = tmp_path / 'f.json'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        read(path)
    assert 'f.json' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_when_all_are_skipped_nothing_is_left(tmp_path):
    with pytest.raises(InputError, match=r'all 1 records were refused as alpaca: instruction: is empty \(1\)'):
        read(write(tmp_path / 'f.json', {'instruction': ''}), on_bad='skip')


def test_the_first_turn_of_an_mt_bench_question_is_asked_under_its_own_id(tmp_path):
    question = {'question_id': 81, 'category': 'writing', 'turns': ['Write it.', 'Again.'], 'reference': ['a', 'b']}
    found = read(write(tmp_path / 'question.jsonl', question, lines=True))
    assert format_of(found) == 'turns'
    (example,) = found.examples
    assert (example.id, example.messages) == ('81', (Message('user', 'Write it.'),))


def test_a_question_id_names_records_of_that_format_alone(tmp_path):
    records = [{'instruction': 'q', 'output': 'a', 'question_id': 7}] * 2
    assert [example.id for example in read(write(tmp_path / 'a.json', *records)).examples] == ['0', '1']


@pytest.mark.parametrize('turns', [[], 'one', [''], [3], [None]])
def test_a_question_without_a_first_turn_is_named(tmp_path, turns):
    good = {'question_id': 1, 'turns': ['q']}
    with pytest.raises(InputError, match=r'q\.jsonl:2: turns'):
        read(write(tmp_path / 'q.jsonl', good, {'question_id': 2, 'turns': turns}, lines=True))
