"""What a server refuses: all that is asked of it, a parameter, or one question."""

import json

import pytest
from stub import GOOD, Reply, Stub, completion
from test_endpoint import ask_all, judge, spent

from jaxshift.errors import InputError


@pytest.mark.parametrize('status', [401, 403, 404])
def test_what_every_call_would_fail_by_ends_all_in_one_line_without_the_key(tmp_path, monkeypatch, status):
    monkeypatch.setenv('MY_KEY', 'sk-secret')
    with Stub(lambda said, times: Reply('{"error": {"message": "sk-secret"}}', status)) as stub:
        with pytest.raises(InputError, match=f'HTTP {status}.*MY_KEY') as caught:
            ask_all(judge(stub, key_variable='MY_KEY', concurrency=1), tmp_path / 'c', ['a', 'b', 'c'])
        assert len(stub.requests) == 1
        assert stub.headers[0]['Authorization'] == 'Bearer sk-secret'
    assert 'sk-secret' not in str(caught.value)


def error(message, **more):
    return Reply(json.dumps({'error': {'message': message, 'type': 'invalid_request_error', **more}}), 400)


OPENAI = {  # what it says to its newer models' parameters
    'max_tokens': error(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        param='max_tokens', code='unsupported_parameter',
    ),
    'temperature': error(
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
        param='temperature', code='unsupported_value',
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ('answer', 'changes', 'said'),
    [
        (OPENAI['max_tokens'], {}, "max_tokens; set config.judge.limit_name=max_completion_"),
        (OPENAI['temperature'], {}, 'temperature; set config.judge.temperature=-1, which sends none'),
        (error('`temperature` is deprecated for this model.'), {}, 'temperature; set config.judge.temperature=-1'),
        (error('Unrecognized request argument supplied: max_completion_tokens'),
         {'limit_name': 'max_completion_tokens'}, 'max_completion_tokens; set config.judge.limit_name=max_tokens'),
    ],
)  # fmt: skip
def test_a_parameter_that_the_model_refuses_ends_all_and_names_its_key(tmp_path, answer, changes, said):
    with Stub(lambda said, times: answer) as stub:
        with pytest.raises(InputError) as caught:
            ask_all(judge(stub, concurrency=1, **changes), tmp_path / 'c', ['a', 'b', 'c'])
        assert len(stub.requests) == 1
    assert f"/ answers HTTP 400 for model 'm'; it refuses {said}" in str(caught.value)
    assert '\n' not in str(caught.value)
    assert spent(tmp_path / 'c') == (0, 0)


@pytest.mark.parametrize(
    'answer',
    [
        error("'max_tokens' is too large: 1024. This model's maximum context length is 4096.", param='max_tokens'),
        error('max_tokens is too large: 20000. This model supports at most 16384 completion tokens.'),
        error("Unsupported value: 'messages[0].role'. What is the temperature?", param='messages[0].role'),
        error(None), Reply('{"error": "max_tokens unsupported"}', 400), Reply('[]', 400), Reply('<html>', 400),
    ],
)  # fmt: skip
def test_another_bad_request_is_of_its_question_alone(tmp_path, answer):
    with Stub(lambda said, times: answer if 'it a.' in said else completion(GOOD)) as stub:
        found, made = ask_all(judge(stub), tmp_path / 'c', ['a', 'b'])
    assert [found[name].outcome for name in 'ab'] == ['failed', 'scored']
    assert made.events['HTTP 400'] == 1


def test_newer_models_are_sent_what_they_take(tmp_path):
    def answer(said, times):
        return next((refusal for name, refusal in OPENAI.items() if name in stub.requests[-1]), completion(GOOD))

    with Stub(answer) as stub:
        asked = judge(stub, limit_name='max_completion_tokens', temperature=-1.0, max_tokens=7)
        assert ask_all(asked, tmp_path / 'c', ['a'])[0]['a'].outcome == 'scored'
        assert stub.requests[0].keys() == {'model', 'messages', 'max_completion_tokens'}
        assert stub.requests[0]['max_completion_tokens'] == 7
