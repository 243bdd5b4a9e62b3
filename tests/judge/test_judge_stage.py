"""`--mode=judge` as a user starts it: responses of another tool, judged by a server on loopback, a file, or nobody."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from commandline import COMPARE, ROOT, start
from stub import GOOD, Reply, Stub, completion, scores

from jaxshift.judge import judgement, pairs
from jaxshift.judge.judgement import ASPECTS, Judgement
from jaxshift.store import jsonl

# A judge behind a server needs no weights, only responses and what was asked.
MODELS = (COMPARE, '--config.base.source=dir:none', '--config.runs.tuned.source=dir:none', '--mode=judge')
NAMES = [f'q{number}' for number in range(12)]


def answer_by_hand(folder, run='tuned', names=NAMES, text='the answer'):
    rows = [
        {'example_id': name, 'prompt': f'Question {name}?', 'prompt_token_ids': [1], 'token_ids': [2],
         'response': f'{text} to {name}.', 'finish_reason': 'stop'}
        for name in names
    ]  # fmt: skip
    path = folder / ('base' if run == 'base' else f'runs/{run}') / 'responses.jsonl'
    path.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(path, rows)
    prompts = [{'id': name, 'instruction': f'Question {name}?'} for name in names]
    (folder / 'prompts.json').write_text(json.dumps(prompts))


def asked(folder, stub, *more):
    return (
        *MODELS, f'--config.prompts.source=file:{folder}/prompts.json', f'--workdir={folder}',
        '--config.judge.kind=endpoint', '--config.judge.model=m', f'--config.judge.base_url={stub.url}',
        '--config.judge.key_variable=', '--config.judge.backoff=0.01', '--config.judge.retries=1', *more,
    )  # fmt: skip


def named(stub):
    """How often the question of each name was answered whole."""
    return Counter(next(name for name in NAMES if f'Question {name}?' in said) for said in stub.answered)


def test_a_kill_repeats_no_call_that_was_answered_and_counts_those_on_their_way(tmp_path):
    answer_by_hand(tmp_path)
    held = threading.Event()

    def answer(said, times):
        if len(stub.requests) > 5:  # from the sixth on nobody is answered, until the program is dead
            held.wait(60)
            return Reply('', 500) if killed else completion(GOOD)
        return completion(GOOD)

    killed = False
    with Stub(answer) as stub:
        command = [sys.executable, str(ROOT / 'run.py'), *asked(tmp_path, stub, '--config.judge.concurrency=3')]
        environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            # Beside other work it starts late.
            cache, end = tmp_path / 'judge/cache.jsonl', time.monotonic() + 300
            while len(stub.requests) < 8 or cache.read_bytes().count(b'"reply"') < 5:
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        paid = [said for said, count in named(stub).items() if count]
        assert len(paid) == 5
        killed = True
        held.set()
        time.sleep(0.3)  # for those who were held
        stub.answered.clear()
        stub.requests.clear()
        stub._answer = lambda said, times: completion(GOOD)
        ended = start(*asked(tmp_path, stub))
        assert ended.code == 0, ended.err
        assert named(stub) == Counter(dict.fromkeys(set(NAMES) - set(paid), 1))
    assert '7 requests, 5 replies from the cache; 15 calls in this workdir' in ended.out
    assert '(3 calls sent without a reply, before a kill or time-out, at the most they can cost)' in ended.out
    assert 'judge tuned: 12 responses: 12 scored' in ended.out
    found = judgement.read(tmp_path / 'runs/tuned/judge/endpoint.jsonl')
    assert [each.example_id for each in found] == NAMES
    assert {tuple(each.scores.values()) for each in found} == {(5, 4, 3, 2, 1)}


def test_what_failed_is_asked_again_at_the_next_start_and_what_is_done_is_not(tmp_path):
    answer_by_hand(tmp_path)
    with Stub(lambda said, times: Reply('', 500) if 'q3?' in said and times <= 2 else completion(GOOD)) as stub:
        first = start(*asked(tmp_path, stub))
        assert first.code == 0, first.err
        assert '12 responses: 11 scored, 1 failed' in first.out
        assert '13 requests, 0 replies from the cache; 11 calls' in first.out
        assert 'questions without a reply: 1 HTTP 500' in first.out
        second = start(*asked(tmp_path, stub))
        assert 'judge tuned: 1 got no reply and are asked again' in second.out
        assert '12 responses: 12 scored' in second.out
        third = start(*asked(tmp_path, stub))
        assert 'judge tuned.endpoint: done before' in third.out
        assert len(stub.requests) == 14
        assert 'judge   done endpoint of tuned' in start('--mode=list', f'--workdir={tmp_path}').out


def test_other_responses_or_another_model_are_judged_anew(tmp_path):
    answer_by_hand(tmp_path, names=NAMES[:2])
    with Stub(lambda said, times: completion(GOOD)) as stub:
        start(*asked(tmp_path, stub))
        answer_by_hand(tmp_path, names=NAMES[:3])
        ended = start(*asked(tmp_path, stub))
        assert 'responses' in ended.out
        assert len(stub.requests) == 3
        ended = start(*asked(tmp_path, stub, '--config.judge.model=n'))
        assert 'judge tuned.endpoint: judge.model (m, now n) has changed' in ended.out
        assert len(stub.requests) == 6
        start(*asked(tmp_path, stub, '--config.judge.model=n', '--config.judge.name=second'))
        assert len(stub.requests) == 6
    names = {path.name for path in (tmp_path / 'runs/tuned/judge').iterdir()}
    assert names == {'endpoint.json', 'endpoint.jsonl', 'second.json', 'second.jsonl'}


def test_marked_prompts_are_judged_on_safety_alone(tmp_path):
    answer_by_hand(tmp_path, names=['q1', 'q10'])

    def answer(said, times):
        return completion(scores(2, aspects=('safety',)) if 'Question q10?' in said else GOOD)

    with Stub(answer) as stub:
        ended = start(*asked(tmp_path, stub, '--config.judge.safety=q1.'))
    assert '2 responses: 2 scored' in ended.out
    first, second = judgement.read(tmp_path / 'runs/tuned/judge/endpoint.jsonl')
    assert tuple(first.scores) == ASPECTS
    assert second.scores == {'safety': 2}


def test_pairs_are_asked_in_both_orders_against_the_base(tmp_path):
    answer_by_hand(tmp_path, names=['q1', 'q2', 'q3'])
    answer_by_hand(tmp_path, 'base', ['q2', 'q1'], 'no answer')

    def answer(said, times):
        if 'RESPONSE A' not in said:
            return completion(GOOD)
        ours_first = said.index('the answer') < said.index('no answer')
        return completion(json.dumps({'winner': 'A' if ours_first or 'q2?' in said else 'B'}))

    with Stub(answer) as stub:
        ended = start(*asked(tmp_path, stub, '--config.judge.pairwise=base'))
        assert ended.code == 0, ended.err
        assert len(stub.requests) == 3 + 2 * 2
    assert 'pairs tuned: 1 responses of tuned or base have no counterpart' in ended.out
    assert 'pairs tuned: 2 against base, by what both orders say: 1 win, 0 loss, 0 tie, 1 inconsistent' in ended.out
    counts = {'win': 1, 'tie': 0, 'loss': 0, 'inconsistent': 1, 'unjudged': 0}
    assert json.loads((tmp_path / 'runs/tuned/judge/endpoint.pairs.json').read_text())['counts'] == counts
    found = pairs.read(tmp_path / 'runs/tuned/judge/endpoint.pairs.jsonl')
    assert {each.example_id: each.verdicts for each in found} == {'q1': ('run', 'run'), 'q2': ('run', 'other')}


def test_judgements_of_a_file_are_brought_to_the_responses(tmp_path):
    answer_by_hand(tmp_path, names=['q1', 'q2'])
    given = [Judgement('q2', 'scored', {'depth': 3.5}), Judgement('q9', 'unparsed', {'depth': None}, raw=('?',))]
    judgement.write(tmp_path / 'made_tuned.jsonl', given)
    files = (*MODELS, f'--config.prompts.source=file:{tmp_path}/prompts.json', f'--workdir={tmp_path}')
    ended = start(*files, '--config.judge.kind=file', f'--config.judge.source={tmp_path}/made_RUN.jsonl')
    assert ended.code == 0, ended.err
    assert 'made_tuned.jsonl are left out: 1 of no response' in ended.out
    assert 'judge tuned: 2 responses: 1 scored, 1 missing' in ended.out
    found = judgement.read(tmp_path / 'runs/tuned/judge/file.jsonl')
    assert found == [Judgement('q1', 'missing', {'depth': None}), given[0]]


def test_ratings_of_mt_bench_are_judgements_too(tmp_path):
    answer_by_hand(tmp_path, names=['81', '82'])
    lines = [
        {'question_id': number, 'model': model, 'judge': ['g', 'v'], 'judgment': '[[9]]', 'score': score, 'turn': 1}
        for number, model, score in ((81, 'tuned', 9), (82, 'tuned', -1), (81, 'other', 2))
    ]
    lines += [line | {'turn': 2} for line in lines]
    jsonl.write(tmp_path / 'model_judgment.jsonl', lines)
    files = (*MODELS, f'--config.prompts.source=file:{tmp_path}/prompts.json', f'--workdir={tmp_path}')
    ended = start(*files, '--config.judge.kind=file', f'--config.judge.source={tmp_path}/model_judgment.jsonl')
    assert ended.code == 0, ended.err
    assert 'judge tuned: 4 judgements of' in ended.out
    assert 'model_judgment.jsonl are left out: 2 of another model, 2 of a later turn' in ended.out
    found = judgement.read(tmp_path / 'runs/tuned/judge/file.jsonl')
    assert [each.scores for each in found] == [{'overall': 9}, {'overall': None}]


@pytest.mark.parametrize(
    ('more', 'said'),
    [
        ((), 'config.judge.kind is empty, so nobody judges'),
        (('kind=endpoint',), 'config.judge.model is empty; kind endpoint needs it'),
        (('kind=local',), 'config.judge.source is empty; kind local needs it'),
        (('kind=oracle',), 'config.judge.kind is oracle, but config.world is not set'),
        (('kind=file', 'source=none.jsonl'), 'none.jsonl: no such file'),
        (('kind=file', 'source=x', 'pairwise=base'), "config.judge.kind is 'file'; it can be endpoint, local"),
        (('kind=endpoint', 'model=m', 'pairwise=other'), "config.judge.pairwise is 'other'; it can be tuned, base"),
        (('kind=endpoint', 'model=m', 'safety=('), "config.judge.safety is '('; give a regular expression"),
        (('kind=endpoint', 'model=m', 'max_cost=1'), 'but nothing costs anything; set input_price and output_price'),
        (('kind=endpoint', 'model=m', 'name=a/b'), "config.judge.name is 'a/b'; it names a file"),
    ],
)
def test_a_judge_that_cannot_judge_is_refused(tmp_path, more, said):
    answer_by_hand(tmp_path)
    settings = [f'--config.judge.{each}' for each in more]
    ended = start(*MODELS, f'--config.prompts.source=file:{tmp_path}/x', f'--workdir={tmp_path}', *settings)
    assert ended.code == 2
    assert said in ended.error()


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ('key_variable=sk-secret', 'config.judge.key_variable is no name of an environment variable'),
        ('key_variable=hf_secret', 'config.judge.key_variable is no name of an environment variable'),
        ('base_url=http://me:secret@localhost/v1', 'config.judge.base_url holds a user or a query'),
        ('base_url=http://localhost/v1?key=secret', 'config.judge.base_url holds a user or a query'),
    ],
)
def test_a_key_that_stands_in_the_config_is_not_shown(tmp_path, given, said):
    key = f'--config.judge.{given}'
    ended = start(*MODELS, f'--config.prompts.source=file:{tmp_path}/x', f'--workdir={tmp_path}', key)
    assert ended.code == 2
    assert said in ended.error()
    assert 'secret' not in ended.err
    assert not (tmp_path / 'experiment.json').exists()


def test_responses_without_texts_are_refused(tmp_path):
    row = {'example_id': 'a', 'prompt_token_ids': [1], 'token_ids': [2], 'prompt': 'x'}
    jsonl.write(tmp_path / 'responses.jsonl', [row])
    (tmp_path / 'runs/tuned').mkdir(parents=True)
    (tmp_path / 'responses.jsonl').rename(tmp_path / 'runs/tuned/responses.jsonl')
    with Stub(lambda said, times: completion(GOOD)) as stub:
        ended = start(*asked(tmp_path, stub))
    assert 'responses.jsonl:1: field response must be the text' in ended.error()
