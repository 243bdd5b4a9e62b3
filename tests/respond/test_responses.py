import dataclasses
import json

import numpy as np
import pytest
import transformers
from tokenizers import AddedToken, Tokenizer, models

from jaxshift.devices.process import StopSignal
from jaxshift.errors import InputError, Stopped
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.respond.responses import Prompt, prompt_of, respond, sampled
from jaxshift.respond.sampling import Sampling


@pytest.fixture(scope='module')
def prompts():
    random = np.random.default_rng(2)
    lengths = 5, 17, 1, 30, 9, 24, 13
    # U+2028 ends a line for str.splitlines, but not in JSON.
    return [Prompt(f'é{n}', f'line\u2028{n}\n', random.integers(3, 40, n).tolist()) for n in lengths]


@pytest.fixture(scope='module')
def answer(small, tokenizer, prompts):
    """Answers prompts, three at a time, into a file."""
    config, params, _ = small

    def go(path, asked=prompts, stop=None, context=128, stop_ids=(7,), seen=None, sampling=None):
        shape = dataclasses.replace(config, max_position_embeddings=context)
        decoder = Decoder(shape, 'float32', stop_ids, 10, sampling)
        progress = lambda *at: seen is None or seen.append(at)  # noqa: E731
        respond(decoder, params, asked, tokenizer, path, 3, stop or StopSignal(), progress)
        return path.read_text(encoding='utf-8')

    return go


@pytest.fixture(scope='module')
def whole(answer, tmp_path_factory):
    return answer(tmp_path_factory.mktemp('whole') / 'responses.jsonl')


def test_every_prompt_has_its_line_in_the_order_asked(whole, prompts, answer, tmp_path):
    (tmp_path / 'r.jsonl').write_text(whole, encoding='utf-8')
    rows = responses.read(tmp_path / 'r.jsonl')
    assert [(row['example_id'], row['prompt'], row['prompt_token_ids']) for row in rows] == prompts
    assert {tuple(row) for row in rows} == {
        ('example_id', 'prompt', 'prompt_token_ids', 'response', 'token_ids', 'finish_reason')
    }
    for row in rows:
        stopped = row['token_ids'][-1] == 7
        assert row['finish_reason'] == ('stop' if stopped else 'length')
        assert stopped or len(row['token_ids']) == 10
        assert 7 not in row['token_ids'][:-1]


def test_the_response_is_the_text_without_its_stop_token(whole, tokenizer):
    for row in map(json.loads, whole.rstrip('\n').split('\n')):
        ids = row['token_ids'][:-1] if row['finish_reason'] == 'stop' else row['token_ids']
        assert row['response'] == tokenizer.decode(ids, skip_special_tokens=True)


def test_both_ways_to_end_occur(whole):
    assert '"stop"' in whole
    assert '"length"' in whole


@pytest.mark.parametrize('cut', [0, 1, 25], ids=['whole lines', 'without its newline', 'cut-off line'])
def test_a_restart_goes_on_at_the_next_prompt_and_writes_the_same(answer, whole, prompts, tmp_path, cut):
    path, partial = tmp_path / 'responses.jsonl', tmp_path / 'responses.jsonl.partial'
    stop = StopSignal()
    stop.requested = True
    with pytest.raises(Stopped):
        answer(path, stop=stop)
    assert not path.exists()
    content = partial.read_text(encoding='utf-8')
    assert content.count('\n') == 3
    partial.write_text(content[: len(content) - cut], encoding='utf-8')
    seen = []
    assert answer(path, seen=seen) == whole
    kept = 3 if cut <= 1 else 2
    assert seen == [(n, 7) for n in ([6, 7] if kept == 3 else [5, 7])]
    assert not partial.exists()


def test_a_damaged_line_amid_answers_is_named(answer, whole, tmp_path):
    partial = tmp_path / 'responses.jsonl.partial'
    lines = whole.split('\n')
    partial.write_text('\n'.join([lines[0], lines[1][:-9], lines[2], '']), encoding='utf-8')
    with pytest.raises(InputError, match=r'responses.jsonl.partial:2: not a JSON object; correct the line or remove'):
        answer(tmp_path / 'responses.jsonl')


def test_the_context_ends_a_response_with_reason_length(answer, tmp_path, prompts):
    rows = answer(tmp_path / 'r.jsonl', context=33, stop_ids=()).rstrip('\n').split('\n')
    by_prompt = {len(row['prompt_token_ids']): row for row in map(json.loads, rows)}
    assert {n: len(row['token_ids']) for n, row in by_prompt.items()} == {n: min(10, 33 - n) for n in by_prompt}
    assert {row['finish_reason'] for row in by_prompt.values()} == {'length'}


@pytest.mark.parametrize(('context', 'ids'), [(30, [5] * 30), (128, [])])
def test_a_prompt_that_does_not_fit_is_named(answer, tmp_path, context, ids):
    with pytest.raises(InputError, match=rf'prompt p9: {len(ids)} tokens do not fit the context of {context}'):
        answer(tmp_path / 'r.jsonl', [Prompt('p9', '', ids)], context=context)


def test_text_of_all_kinds_survives(answer, prompts, tmp_path):
    strange = ['\u2028', '\u2029\x85', 'a\r\nb', '"\\', '漢字 🙂']
    asked = [Prompt(str(n), text, [5, 6]) for n, text in enumerate(strange)]
    answer(tmp_path / 'r.jsonl', asked)
    assert [row['prompt'] for row in responses.read(tmp_path / 'r.jsonl')] == strange


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('{"example_id": "a"', ':2: not a JSON object'),
        ('{"example_id": "a", "token_ids": []}', ':2: field prompt_token_ids is missing'),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    good = '{"example_id": "a\u2028", "prompt_token_ids": [1], "token_ids": [2]}'
    (tmp_path / 'r.jsonl').write_text(f'{good}\n{line}\n', encoding='utf-8')
    with pytest.raises(InputError, match=message):
        responses.read(tmp_path / 'r.jsonl')


@pytest.mark.parametrize('line', ['[1, 2]', '3', 'null'])
def test_a_line_that_is_no_object_is_named(tmp_path, line):
    (tmp_path / 'r.jsonl').write_text(line + '\n', encoding='utf-8')
    with pytest.raises(InputError, match=':1: not a JSON object'):
        responses.read(tmp_path / 'r.jsonl')


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('example_id', 7, 'example_id is 7; write it as a string'),
        ('example_id', None, 'example_id is null; write it as a string'),
        ('example_id', 'a', "example_id 'a' is that of line 1 too; give every line its own"),
        ('prompt_token_ids', 'b', 'prompt_token_ids must be a list of whole numbers; write it as token ids'),
        ('prompt_token_ids', [1, '2'], 'prompt_token_ids must be a list of whole numbers; write it as token ids'),
        ('token_ids', [1.0], 'token_ids must be a list of whole numbers; write it as token ids'),
        ('token_ids', [True], 'token_ids must be a list of whole numbers; write it as token ids'),
        ('token_ids', None, 'token_ids must be a list of whole numbers; write it as token ids'),
    ],
)
def test_a_field_of_another_type_or_an_id_twice_is_named(tmp_path, field, value, message):
    good = {'example_id': 'a', 'prompt_token_ids': [1], 'token_ids': []}
    bad = good | {'example_id': 'b', field: value}
    (tmp_path / 'r.jsonl').write_text(f'{json.dumps(good)}\n{json.dumps(bad)}\n')
    with pytest.raises(InputError) as refused:
        responses.read(tmp_path / 'r.jsonl')
    assert str(refused.value) == f'{tmp_path}/r.jsonl:2: {message}'


def test_missing_responses_say_what_to_run(tmp_path):
    with pytest.raises(InputError, match='r.jsonl: no such file; run --mode=respond first'):
        responses.read(tmp_path / 'r.jsonl')


def test_samples_are_further_responses_and_no_order_or_restart_changes_them(answer, prompts, tmp_path):
    sampling = Sampling(temperature=1.0)
    asked = sampled(prompts, 3)
    assert [prompt.example_id for prompt in asked[:4]] == ['é5', 'é5#1', 'é5#2', 'é17']
    text = answer(tmp_path / 'r.jsonl', asked, sampling=sampling, stop_ids=())
    rows = {row['example_id']: row for row in map(json.loads, text.rstrip('\n').split('\n'))}
    assert list(rows) == [prompt.example_id for prompt in asked]
    assert rows['é5']['token_ids'] != rows['é5#1']['token_ids'] != rows['é5#2']['token_ids']
    stop = StopSignal()
    stop.requested = True
    turned = asked[::-1]
    with pytest.raises(Stopped):
        answer(tmp_path / 'again.jsonl', turned, stop=stop, sampling=sampling, stop_ids=())
    again = answer(tmp_path / 'again.jsonl', turned, sampling=sampling, stop_ids=())
    assert {row['example_id']: row for row in map(json.loads, again.rstrip('\n').split('\n'))} == rows


def test_a_prompt_with_the_id_of_a_sample_is_named():
    with pytest.raises(InputError, match="prompt 'a#1' has the id of a sample"):
        sampled([Prompt('a', '', [1]), Prompt('a#1', '', [1])], 2)
    with pytest.raises(InputError, match="prompt 'a#1' has the id of a sample"):
        sampled([Prompt('a#1', '', [1])], 2)  # it would be taken for an answer to a
    assert [prompt.example_id for prompt in sampled([Prompt('a#7', '', [1])], 2)] == ['a#7', 'a#7#1']


@pytest.fixture(scope='module')
def words():
    """Forty tokens w0 ... w39; <|im_start|> and <|im_end|>, which are special, behind them."""
    backend = Tokenizer(models.WordLevel({f'w{i}': i for i in range(40)}, unk_token='w0'))
    backend.add_special_tokens([AddedToken('<|im_start|>', special=True), AddedToken('<|im_end|>', special=True)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token='w0')


@pytest.mark.parametrize(
    ('stop', 'response', 'ids'),
    [
        ('<|im_start|>', 'w3 w4', [3, 4, 40]),
        ('im_start', 'w3 w4', [3, 4, 40]),
        ('4 <|im_start|> w5', 'w3 w', [3, 4, 40, 5]),
        ('5 w', 'w3 w4 w', [3, 4, 40, 5, 6]),
        ('<|im_end|>', 'w3 w4 w5 w6', [3, 4, 40, 5, 6, 41]),  # it ends the response anyhow
    ],
)
def test_a_stop_text_may_name_a_special_token(small, words, monkeypatch, tmp_path, stop, response, ids):
    decoder = Decoder(small[0], 'float32', (41,), 10)
    monkeypatch.setattr(responses, 'generate', lambda *asked: [[3, 4, 40, 5, 6, 41]])
    asked, path = [Prompt('a', '', [1])], tmp_path / 'r.jsonl'
    respond(decoder, {}, asked, words, path, 3, StopSignal(), lambda *at: None, (stop,))
    (row,) = responses.read(path)
    assert (row['response'], row['token_ids'], row['finish_reason']) == (response, ids, 'stop')


def test_a_stop_text_ends_text_and_tokens(small, words, prompts, tmp_path):
    def answer(path, *stop_texts):
        decoder = Decoder(small[0], 'float32', (), 10)
        respond(decoder, small[1], prompts, words, path, 3, StopSignal(), lambda *at: None, stop_texts)
        return responses.read(path)

    free = answer(tmp_path / 'a')
    said = free[0]['response'].split()
    stop = f'{said[2]} {said[3]}'
    cut = answer(tmp_path / 'b', 'nowhere', stop)
    for before, after in zip(free, cut, strict=True):
        if stop not in before['response']:
            assert after == before
            continue
        assert after['finish_reason'] == 'stop'
        assert after['response'] == before['response'][: before['response'].index(stop)]
        ids = after['token_ids']
        assert ids == before['token_ids'][: len(ids)]
        assert stop in words.decode(ids)
        assert stop not in words.decode(ids[:-1])
    assert cut[0]['finish_reason'] == 'stop'


@pytest.mark.parametrize(
    ('samples', 'prompts'),
    [(1, ['q#1', 'q#2', 'q#3', 'q#01', 'q#', '1', 'q']), (3, ['q', 'q', 'q#3', 'q#01', 'q#', '1', 'q'])],
)
def test_the_number_of_samples_tells_a_sample_from_a_prompt_that_is_called_so(samples, prompts):
    assert [prompt_of(name, samples) for name in ('q#1', 'q#2', 'q#3', 'q#01', 'q#', '1', 'q')] == prompts
