"""`--mode=advise` on a small base that knows a part of its world."""

import json

import numpy as np
import pytest
from scipy import stats

from jaxshift import config
from jaxshift.advise.verdict import METHODS
from jaxshift.devices import mesh as meshes
from jaxshift.evaluate import likelihood


def content(folder):
    return json.loads((folder / 'advice.json').read_text())


@pytest.mark.parametrize(('subject', 'new_share'), [('known', 0.0), ('half known', 0.5), ('unknown', 1.0)])
def test_the_advice_is_right_for_what_the_base_knows(informed, advise, instructions, subject, new_share):
    ended = advise(instructions(new_share))
    assert ended.code == 0, ended.err
    found = content(informed)
    assert found['verdict']['subject'] == subject
    assert found['verdict']['method'] == METHODS[subject]
    lines = ended.out.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith('advice'))
    assert len(lines[first:]) == 11  # ten lines, and where the numbers are
    assert found['foreseen']['data']['texts'] == found['data']['read'] == 96
    assert {'lora', 'full', 'pretrain'} == found['memory']['before_a_step'].keys()


def test_json_is_one_object_and_nothing_else(informed, advise, instructions):
    settings = instructions(0.0)
    assert advise(settings).code == 0
    ended = advise(settings, '--json')
    assert json.loads(ended.out) == content(informed)
    assert 'advise: done before' in ended.err


def test_short_answers_are_asked_and_decide(informed, advise, tmp_path):
    facts = json.loads((informed / 'data/world/facts.json').read_text())['questions']
    asked = json.loads((informed / 'data/world/probe.json').read_text())[:30]
    rows = [{'question': each['instruction'], 'answer': facts[each['id']]['value']} for each in asked]
    rows.append({'question': 100 * f'{rows[0]["question"]} ', 'answer': rows[0]['answer']})  # beyond the context
    rows.append({'question': 'where ?', 'answer': 7})
    (tmp_path / 'facts.json').write_text(json.dumps(rows))
    ended = advise(f'--config.data.source=file:{tmp_path / "facts.json"}', '--config.causes.knowledge_draws=2',
                   '--config.data.on_bad_record=skip')  # fmt: skip
    assert ended.code == 0, ended.err
    found = content(informed)
    assert found['verdict']['by'] == 'short answers'
    assert found['short_answers']['share'] == 1
    assert found['short_answers']['too_long'] == 1
    assert '(to 1 of them the question is too long to ask)' in ended.out
    assert '30 of 31 examples (question_answer), 1 prompts over context, 1 records refused; ' in ended.out
    assert sum(found['short_answers']['bins'].values()) == found['short_answers']['asked'] == 30
    assert found['short_answers']['right'] == pytest.approx(found['verdict']['value'])
    said = [json.loads(line) for line in (informed / 'advice/greedy.jsonl').read_text().splitlines()]
    right = [row['answer'] in said[place]['response'].split() for place, row in enumerate(rows[:30])]
    assert found['verdict']['value'] == pytest.approx(np.mean(right))
    by_scipy = stats.binomtest(sum(right), len(right)).proportion_ci(method='wilson')
    assert found['verdict']['interval'] == pytest.approx([by_scipy.low, by_scipy.high], abs=1e-4)
    assert 'asked 30 of these 3 times' in ended.out


@pytest.mark.parametrize(
    ('settings', 'line'),
    [
        (['--config.data.source=file:{}/documents.jsonl'], 'plain text or tokens, which ask nothing'),
        (['--config.causes.general_text=file:{}/probe.json'], 'is no plain text; give records with a field text'),
        (['--config.causes.general_text=elsewhere'], 'config.causes.general_text is'),
        (['--config.causes.advise_examples=0'], 'config.causes.advise_examples is 0; it must be at least 1'),
    ],
)
def test_what_cannot_be_advised_on_is_said_in_a_line(informed, advise, settings, line):
    settings = [each.format(informed / 'data/world') for each in settings]
    ended = advise(*settings)
    assert ended.code == 2
    assert line in ended.error()


def test_scores_are_those_of_torch(small):
    import torch

    shape, params, theirs = small
    rng = np.random.default_rng(0)
    requests = [(rng.integers(0, 40, size).tolist(), rng.integers(0, 40, size + 3).tolist()) for size in (1, 4, 9)]
    scorer = likelihood.Scorer(shape, 'float32', 2)
    found = likelihood.scores(scorer, params, requests, meshes.make(config.Mesh()), lambda done: None)
    for (context, answer), scores in zip(requests, found, strict=True):
        with torch.no_grad():
            logits = theirs(torch.tensor([context + answer])).logits[0].double().numpy()
        for place, token in enumerate(answer):
            row = logits[len(context) - 1 + place]
            logprob = row[token] - row.max() - np.log(np.exp(row - row.max()).sum())
            assert scores.logprobs[place] == pytest.approx(logprob, abs=1e-4)
            assert scores.ranks[place] == 1 + (row > row[token]).sum()
