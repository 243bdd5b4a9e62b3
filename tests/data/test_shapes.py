"""What records of each format say, and how those that cannot be used are refused."""

import json

import pytest

from jaxshift.data import dataset, formats, mixture, template
from jaxshift.data.formats import Refusal
from jaxshift.errors import InputError

CHATML_TOOLS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CALL = [
    {'from': 'human', 'value': 'what is the time?'},
    {'from': 'function_call', 'value': '{"name": "clock"}'},
    {'from': 'observation', 'value': 'noon'},
    {'from': 'gpt', 'value': 'it is noon'},
]


@pytest.fixture
def read(tmp_path):
    def read(*records, **options):
        path = tmp_path / 'd.jsonl'
        path.write_text(''.join(json.dumps(record) + '\n' for record in records))
        return mixture.read({f'file:{path}': 1}, **options)

    return read


def turns(found):
    return [tuple(message) for message in found.examples[0].messages]


def test_sharegpt_has_system_within_or_beside(read):
    talk = [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'a'}]
    expected = [('system', 's'), ('user', 'q'), ('assistant', 'a')]
    assert turns(read({'conversations': [{'from': 'system', 'value': 's'}, *talk]})) == expected
    assert turns(read({'conversations': talk, 'system': 's', 'tools': '[]'})) == expected
    with pytest.raises(InputError, match=r'd\.jsonl:1: conversations: has the roles system, system'):
        read({'conversations': [{'from': 'system', 'value': 's'}, *talk], 'system': 's'})


def test_a_tool_s_answer_is_a_turn_and_its_call_an_answer(read, make_tokenizer):
    found = read({'conversations': CALL})
    assert [role for role, _ in turns(found)] == ['user', 'assistant', 'tool', 'assistant']
    chosen = template.choose(make_tokenizer(CHATML_TOOLS))
    ids, trained = chosen.example(found.examples[0].messages)
    assert '<|im_start|>tool\nnoon<|im_end|>' in chosen.tokenizer.decode(ids)
    learnt = chosen.tokenizer.decode([token for token, mark in zip(ids, trained, strict=True) if mark])
    assert learnt == '{"name": "clock"}<|im_end|>it is noon<|im_end|>'


@pytest.mark.parametrize('kind', ['bare', 'llama2'])
def test_a_template_without_tool_turns_refuses_the_record_by_name(read, request, tmp_path, kind):
    found = read({'conversations': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'a'}]})
    called = read({'conversations': CALL})
    chosen = template.choose(request.getfixturevalue(kind))
    with pytest.raises(InputError, match=r'd\.jsonl:1: the (paper|native) template has no tool turns; use a chat'):
        dataset.build(tmp_path / 'rows', called.examples, chosen, 64)
    made = dataset.build(tmp_path / 'rows', [*called.examples, *found.examples], chosen, 64, 'skip')
    assert made.counts['refused'] == {f'the {chosen.name} template has no tool turns': 1}
    with pytest.raises(InputError, match='no tool turns'):
        chosen.prompt_ids(called.examples[0].messages[:3])


def test_prompt_and_completion_may_be_texts_or_messages(read):
    asked, answered = [{'role': 'user', 'content': 'q'}], [{'role': 'assistant', 'content': 'a'}]
    expected = [('user', 'q'), ('assistant', 'a')]
    for prompt in ('q', asked):
        for completion in ('a', answered):
            assert turns(read({'prompt': prompt, 'completion': completion})) == expected
        assert turns(read({'prompt': prompt})) == expected[:1]


def test_a_sequence_of_columns_is_a_list_of_turns(read):
    found = read({'messages': {'role': ['user', 'assistant'], 'content': ['q', 'a']}})
    assert turns(found) == [('user', 'q'), ('assistant', 'a')]


@pytest.mark.parametrize(
    ('record', 'problem'),
    [
        ({'conversations': [{'from': 'bard', 'value': ''}]}, r"conversations\[0\].from: 'bard' is not known"),
        ({'conversations': [{'from': 'gpt', 'value': 'a'}]}, 'conversations: has the roles assistant'),
        ({'conversations': [{'from': 'human', 'value': 3}]}, r'conversations\[0\].value: is a number'),
        ({'conversations': ['hi']}, r'conversations\[0\]: is a text, not an object'),
        ({'conversations': CALL[:1], 'tools': [{'name': 'clock'}]}, 'tools: cannot be represented'),
        ({'messages': [{'role': 'assistant', 'content': None, 'tool_calls': [{}]}]}, 'tool_calls: cannot be repr'),
        ({'messages': '[{"role": '}, 'messages: is not JSON'),
        ({'messages': {'role': ['user'], 'content': []}}, 'messages: has lists of several lengths'),
        ({'prompt': 5}, 'prompt: is a number, not a list'),
        ({'prompt': ''}, 'prompt: is empty'),
        ({'prompt': 'q', 'completion': 5}, 'completion: is a number'),
        ({'prompt': 'q', 'completion': [{'role': 'user', 'content': 'q'}]}, 'prompt: has the roles user, user'),
        ({'question': 'q', 'answer': ['a']}, 'answer: is a list, not a text'),
        ({'text': ''}, 'text: is empty'),
        ({'text': '\ud800'}, 'text: holds half of a surrogate pair'),
        ({'input_ids': [1, 2]}, 'labels: is null, not a list'),
        ({'input_ids': [1, 2], 'labels': [-100]}, 'labels: has another length than input_ids; give 2, not 1'),
        ({'input_ids': [1, 2], 'labels': [-100, 3]}, r'labels\[1\]: is not the token at its place'),
        ({'input_ids': [1, 2.5], 'labels': [-100, 2]}, 'input_ids: holds what is no whole number'),
        ({'input_ids': [1, 2], 'labels': [-100, -100]}, 'labels: train no token behind the first'),
        ({'input_ids': [1, 2], 'labels': [1, -100]}, 'labels: train no token behind the first'),
        ({'input_ids': [1, 2], 'labels': [1, 2]}, 'labels: train every token'),
    ],
)
def test_a_record_that_cannot_be_used_is_named_and_counted(read, record, problem):
    with pytest.raises(InputError, match=r'd\.jsonl:1: ' + '.*' + problem) as caught:
        read(record)
    assert '\n' not in str(caught.value)
    key = next(key for key in ('messages', 'conversations', 'prompt', 'question', 'text', 'input_ids') if key in record)
    good = {
        'messages': [{'role': 'user', 'content': 'q'}], 'conversations': CALL[:1], 'prompt': 'q', 'question': 'q',
        'text': 't', 'input_ids': [1, 2],
    }  # fmt: skip
    found = read({key: good[key], 'labels': [-100, 2]}, record, on_bad='skip')
    assert len(found.examples) == 1
    ((where, reason),) = found.refused
    assert where.endswith('d.jsonl:2')
    assert isinstance(found.refused[0], Refusal)
    assert ': ' in reason


def test_token_ids_must_be_of_the_vocabulary(read, bare, tmp_path):
    size, end = len(bare), bare.eos_token_id
    found = read(
        {'input_ids': [5, end], 'labels': [-100, end]},
        {'input_ids': [5, size, end], 'labels': [-100, size, end]},
        {'input_ids': [-1, end], 'labels': [-100, end]},
    )
    chosen = template.choose(bare)
    with pytest.raises(InputError, match=rf'd\.jsonl:2: input_ids: .*vocabulary; {size} is not in 0 to {size - 1}'):
        dataset.build(tmp_path / 'rows', found.examples, chosen, 64)
    made = dataset.build(tmp_path / 'rows', found.examples, chosen, 64, 'skip')
    assert (len(made), sum(made.counts['refused'].values())) == (1, 2)


def test_tokens_that_never_train_a_stop_token_are_refused(read, bare, tmp_path):
    found = read({'input_ids': [5, 6], 'labels': [-100, 6]})
    with pytest.raises(InputError, match='none of the first 1 examples trains a token that ends an answer'):
        dataset.build(tmp_path / 'rows', found.examples, template.choose(bare), 64)


@pytest.mark.parametrize('record', [{'text': 't'}, {'input_ids': [1, 2], 'labels': [-100, 2]}])
def test_what_asks_nothing_is_no_prompt(read, record):
    with pytest.raises(InputError, match='plain text and token ids ask nothing; give prompts.source'):
        formats.prompts(read(record).examples[0])


def test_columns_of_other_names_are_read(read):
    record = {'query': 'q', 'response': 'a', 'prompt': 'not this'}
    found = read(record, columns=('instruction=query', 'output=response'))
    assert turns(found) == [('user', 'q'), ('assistant', 'a')]
    assert turns(read(record, columns=('question=prompt',))) == [('user', 'not this')]
    for columns, problem in [
        (('instruction=qury',), "no record has 'qury'; they have query, response, prompt"),
        (('instructions=query',), 'columns has instructions=query; fields are id,'),
        (('input=query', 'input=prompt'), 'names a field twice'),
    ]:
        with pytest.raises(InputError, match=problem):
            read(record, columns=columns)


def test_the_format_that_is_asked_for_counts(read):
    record = {'instruction': 'q', 'output': 'a', 'text': 'all of it'}
    assert turns(read(record)) == [('user', 'q'), ('assistant', 'a')]
    assert read(record, format='text').examples[0].text == 'all of it'
