"""The analyses knowledge and forgetting as stages, on a tiny finished world."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commandline import TINY, start
from transformers import AutoTokenizer

from jaxshift.explain import forgetting

ASKED = ('--mode=causes', '--config.causes.knowledge_draws=2', '--config.causes.general_passages=6')


def test_forgetting_on_text_is_what_a_loop_finds():
    """Distributions over four tokens at 30 positions of three passages, by the definitions in float64."""
    rng = np.random.default_rng(0)
    q, p = rng.dirichlet(np.ones(4), 30), rng.dirichlet(np.ones(4), 30)
    emitted = rng.integers(0, 4, 30)
    entropy = [-sum(a * np.log(a) for a in row) for row in q]
    cross = [-sum(a * np.log(b) for a, b in zip(*rows, strict=True)) for rows in zip(q, p, strict=True)]
    names = [f'passage {i // 7}' for i in range(30)]
    tokens = pa.table(
        {
            'example_id': names,
            'kl_base_tuned': np.array(cross) - entropy,
            'kl_tuned_base': (p * np.log(p / q)).sum(1),
            'base_entropy': entropy,
            'emitted_base_logprob': np.log(q[np.arange(30), emitted]),
            'emitted_tuned_logprob': np.log(p[np.arange(30), emitted]),
            'base_argmax_id': q.argmax(1),
            'tuned_argmax_id': p.argmax(1),
        }
    )  # fmt: skip
    rows = forgetting.by_passage(tokens)
    assert rows['positions'].to_pylist() == [7, 7, 7, 7, 2]
    assert rows['cross_entropy'][4].as_py() == pytest.approx(np.mean(cross[28:]))
    found = forgetting.summary(rows, seed=0, bootstrap=100)
    assert found['cross_entropy']['mean'] == pytest.approx(np.mean(cross))
    assert found['base_entropy']['mean'] == pytest.approx(np.mean(entropy))
    assert found['same_top_1']['mean'] == pytest.approx(100 * np.mean(q.argmax(1) == p.argmax(1)))
    low, high = found['cross_entropy']['interval']
    assert low < np.mean(cross) < high


def test_both_analyses_of_a_finished_world(copy):
    ended = start(*TINY, *ASKED, f'--workdir={copy}', '--config.causes.analyses=truth,knowledge,forgetting')
    assert ended.code == 0, ended.err
    facts = json.loads((copy / 'data/world/facts.json').read_text())['questions']
    said = {row['example_id']: row for row in map(json.loads, (copy / 'runs/full/responses.jsonl').open())}
    rows = pq.read_table(copy / 'runs/full/causes/knowledge.facts.parquet').to_pylist()
    assert {row['fact'] for row in rows} == said.keys()
    for row in rows:
        assert row['answer'] == facts[row['fact']]['value']
        assert row['after'] == (row['answer'] in said[row['fact']]['response'].split())
        assert row['positions'] == len(said[row['fact']]['token_ids'])
    found = json.loads((copy / 'runs/full/causes/knowledge.json').read_text())
    assert sum(each['facts'] for each in found['bins']) == len(rows)
    drawn = (copy / 'base/knowledge/drawn.jsonl').read_text().splitlines()
    assert len(drawn) == 2 * len(rows)

    # The tuned model's loss on the text, by cross-entropy where both models are the same, is the entropy.
    text = json.loads((copy / 'runs/full/causes/forgetting.json').read_text())
    assert text['passages'] == 6
    added = text['cross_entropy']['mean'] - text['base_entropy']['mean']
    assert added == pytest.approx(text['kl_base_tuned']['mean'], abs=1e-6)
    assert added > 0
    assert not (copy / 'runs/full/causes/forgetting.parts').exists()

    again = start(*TINY, *ASKED, f'--workdir={copy}', '--config.causes.analyses=knowledge,forgetting')
    assert again.out.count('done before') == 5  # the base's answers, and two analyses of two runs
    other = start(*TINY, *ASKED, f'--workdir={copy}', '--config.causes.analyses=forgetting', '--config.seed=1')
    assert other.code == 0, other.err
    assert 'doing it again' in other.out

    assert start(*TINY, '--mode=report', f'--workdir={copy}').code == 0
    page = (copy / 'report/index.html').read_text()
    assert 'What the base knew' in page
    assert 'Forgetting on general text' in page


def test_of_a_long_response_as_many_tokens_count_as_of_the_base(copy):
    """An answer that stands behind the base's limit is not there, in front of it it is."""
    path, facts = copy / 'runs/full/responses.jsonl', json.loads((copy / 'data/world/facts.json').read_text())
    rows = [json.loads(line) for line in path.open()]
    tokenizer = AutoTokenizer.from_pretrained(copy / 'base')
    filler, wanted = tokenizer.encode('.', add_special_tokens=False), {}
    assert len(filler) == 1
    for place, row in enumerate(rows):
        answer = tokenizer.encode(facts['questions'][row['example_id']]['value'], add_special_tokens=False)
        before = 31 if place % 2 else 32
        row['token_ids'] = [*(before * filler), *answer, *filler]
        row['response'] = tokenizer.decode(row['token_ids'])
        wanted[row['example_id']] = float(before + len(answer) <= 32)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    (copy / 'done/respond-full.json').unlink()  # another tool wrote these
    asked = (*TINY, *ASKED, f'--workdir={copy}', '--only=full')
    assert start(*TINY, '--mode=sweep', f'--workdir={copy}', '--only=full').code == 0
    ended = start(*asked, '--config.causes.analyses=knowledge')
    assert ended.code == 0, ended.err
    found = pq.read_table(copy / 'runs/full/causes/knowledge.facts.parquet').to_pylist()
    assert {row['fact']: row['after'] for row in found} == wanted
    assert len(set(wanted.values())) == 2


def test_prompts_without_short_answers_are_passed_over(copy, tmp_path):
    path = tmp_path / 'prompts.json'
    path.write_text(json.dumps([{'instruction': 'where ?', 'output': 'a very long answer of more than five words .'}]))
    source = f'--config.prompts.source=file:{path}'
    settings = (*TINY, '--mode=causes', '--config.causes.analyses=knowledge', source)
    ended = start(*settings, f'--workdir={copy}')
    assert ended.code == 0, ended.err
    assert 'knowledge: passed over' in ended.out
