"""The same conversations give the same ids and masks, whatever format and file they are kept in."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxshift import checks
from jaxshift.data import dataset, mixture, template
from jaxshift.data.shapes import NO_LOSS, SHAPES, Message

# (system, [(question, answer), ...]): what every format can say
TALKS = [
    ('', [('what is the capital of France?', 'Paris.')]),
    ('be helpful, and brief', [('1, 2 "quoted"\nand a line', 'three\r\nlines\n\n'), ('é 漢字 🙂', ' yes')]),
    ('', [('a', 'b'), ('c', 'd'), ('[e]', '{"f": 1}')]),
    ('', [(f'question {number}', f'answer {number}') for number in range(5)]),
]


def messages(talk):
    system, turns = talk
    first = [{'role': 'system', 'content': system}] if system else []
    pairs = [
        [{'role': 'user', 'content': question}, {'role': 'assistant', 'content': answer}] for question, answer in turns
    ]
    return first + sum(pairs, [])


def alpaca(talk):
    system, turns = talk
    (*history, (question, answer)) = turns
    record = {'instruction': question, 'input': '', 'output': answer, 'history': [list(pair) for pair in history]}
    first, _, rest = question.partition('\n')
    return record | ({'system': system} if system else {}) | ({'instruction': first, 'input': rest} if rest else {})


def sharegpt(talk):
    names = {'system': 'system', 'user': 'human', 'assistant': 'gpt'}
    return {'conversations': [{'from': names[turn['role']], 'value': turn['content']} for turn in messages(talk)]}


def prompt_completion(talk):
    if not talk[0] and len(talk[1]) == 1:
        return dict(zip(('prompt', 'completion'), talk[1][0], strict=True))
    turns = messages(talk)
    return {'prompt': turns[:-1], 'completion': turns[-1:]}


def question_answer(talk):
    return dict(zip(('question', 'answer'), talk[1][0], strict=True))


def tokenised(talk, chosen):
    ids, trained = chosen.example([Message(**turn) for turn in messages(talk)])
    labels = [token if mark else NO_LOSS for token, mark in zip(ids, trained, strict=True)]
    return {'input_ids': ids, 'labels': labels}


def write_json(path, records):
    path.write_text(json.dumps(records))


def write_jsonl(path, records):
    path.write_text(''.join(json.dumps(record, ensure_ascii=False) + '\n' for record in records), encoding='utf-8')


def write_parquet(path, records):
    columns = dict.fromkeys(key for record in records for key in record)
    whole = {column: [record.get(column) for record in records] for column in columns}
    pq.write_table(pa.table(whole), path, row_group_size=2)


def write_csv(path, records):
    columns = dict.fromkeys(key for record in records for key in record)
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for record in records:
            writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in record.items()})


WRITERS = {'json': write_json, 'jsonl': write_jsonl, 'parquet': write_parquet, 'csv': write_csv}
FORMATS = {
    'messages': lambda talk: {'messages': messages(talk)},
    'alpaca': alpaca,
    'sharegpt': sharegpt,
    'prompt_completion': prompt_completion,
    'question_answer': question_answer,
    'tokenised': tokenised,
}


@pytest.fixture(scope='module', params=['bare', 'chatml', 'tagged'])
def chosen(request):
    return template.choose(request.getfixturevalue(request.param))


def rows(chosen, folder, path):
    found = mixture.read({f'file:{path}': 1})
    (figures,) = found.sources.values()
    made = dataset.build(folder, found.examples, chosen, 4096)
    return figures['format'], [
        (made[index].tokens.tolist(), made[index].trained.tolist()) for index in range(len(made))
    ]


@pytest.mark.parametrize('suffix', WRITERS)
@pytest.mark.parametrize('format', FORMATS)
def test_a_format_in_a_file_gives_the_template_s_ids_and_masks(tmp_path, chosen, format, suffix):
    talks = [talk for talk in TALKS if format != 'question_answer' or (not talk[0] and len(talk[1]) == 1)]
    if format == 'prompt_completion' and suffix == 'parquet':  # a column has one type there
        talks = talks[:1]
    make = FORMATS[format]
    records = [make(talk, chosen) if format == 'tokenised' else make(talk) for talk in talks]
    path = tmp_path / f'talks.{suffix}'
    WRITERS[suffix](path, records)
    expected = [tokenised(talk, chosen) for talk in talks]
    detected, found = rows(chosen, tmp_path / 'rows', path)
    assert detected == format
    assert [ids for ids, _ in found] == [each['input_ids'] for each in expected]
    masks = [[label != NO_LOSS for label in each['labels']] for each in expected]
    assert [mask for _, mask in found] == masks


def test_prompt_and_completion_of_messages_are_read_from_parquet(tmp_path, chosen):
    path = tmp_path / 'talks.parquet'
    write_parquet(path, [prompt_completion(talk) for talk in TALKS[1:]])
    _, found = rows(chosen, tmp_path / 'rows', path)
    assert [ids for ids, _ in found] == [tokenised(talk, chosen)['input_ids'] for talk in TALKS[1:]]


def test_every_format_of_the_configuration_has_its_reader():
    assert sorted(checks.FORMATS) == sorted(['auto', *SHAPES])
    assert set(SHAPES) == {*FORMATS, 'turns', 'text'}


def test_every_answer_and_its_end_is_trained(tmp_path, chosen):
    path = tmp_path / 'talks.json'
    write_json(path, [alpaca(TALKS[2])])
    _, ((ids, trained),) = rows(chosen, tmp_path / 'rows', path)
    ends = [token for token, mark in zip(ids, trained, strict=True) if mark and token in chosen.stop_ids]
    assert len(ends) == 3
