"""What an export writes is what transformers and PEFT read, and what the run was measured as."""

import json
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from commandline import TINY, start
from huggingface_hub import ModelCard

from jaxshift.judge import formats, judgement
from jaxshift.store import jsonl

EXPORT = ('--mode=export', '--config.export.dtype=float32', '--config.export.shard_size=20000')


@pytest.fixture(scope='module')
def exported(finished, tmp_path_factory):
    """A copy of the tiny world with the files of both runs."""
    import shutil

    folder = tmp_path_factory.mktemp('exported') / 'work'
    shutil.copytree(finished, folder)
    ended = start(*TINY, f'--workdir={folder}', *EXPORT)
    assert ended.code == 0, ended.err
    return folder


def last_logits(model, row) -> np.ndarray:
    """Of the windows before every token of a response."""
    ids = row['prompt_token_ids'] + row['token_ids']
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return logits[len(row['prompt_token_ids']) - 1 : -1].double().log_softmax(-1).numpy()


def records(folder, run):
    """Our measured log-probabilities of the emitted tokens, by example, in the order of positions."""
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / f'runs/{run}/tokens').to_pylist()
    found: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row['position']):
        found.setdefault(row['example_id'], []).append(row['emitted_tuned_logprob'])
    return found


@pytest.mark.parametrize(('run', 'kind'), [('lora', 'model'), ('full', 'model'), ('lora', 'adapter')])
def test_torch_gives_the_exported_files_the_probabilities_that_the_sweep_measured(exported, run, kind):
    folder = exported / 'runs' / run / kind
    if kind == 'model':
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        model, info = loaded
        assert not any(info.values())
        assert len(list(folder.glob('model-*.safetensors'))) > 1
    else:
        base = transformers.AutoModelForCausalLM.from_pretrained(exported / 'base')
        model = peft.PeftModel.from_pretrained(base, folder)
    measured = records(exported, run)
    for row in jsonl.read(exported / f'runs/{run}/responses.jsonl')[:6]:
        theirs = last_logits(model.eval(), row)[np.arange(len(row['token_ids'])), row['token_ids']]
        np.testing.assert_allclose(measured[row['example_id']], theirs, atol=1e-4)


def test_answers_are_written_as_evaluations_read_them(exported):
    folder, rows = exported / 'runs/lora/answers', jsonl.read(exported / 'runs/lora/responses.jsonl')
    answered = [row['response'] for row in rows]
    for name in ('just_eval.json', 'alpaca_eval.json'):
        found = json.loads((folder / name).read_text())
        assert [each['output'] for each in found] == answered
        assert {each['generator'] for each in found} == {'lora'}
    questions = {each['question_id']: each['turns'] for each in jsonl.read(folder / 'mt_bench_question.jsonl')}
    answers = jsonl.read(folder / 'mt_bench.jsonl')
    assert [each['choices'][0]['turns'] for each in answers] == [[text] for text in answered]
    asked = [each['instruction'] for each in json.loads((folder / 'just_eval.json').read_text())]
    assert [questions[each['question_id']] for each in answers] == [[text] for text in asked]


def test_what_judges_said_of_these_responses_lies_beside_them(copy):
    asked = (*TINY, f'--workdir={copy}', '--only=full', '--mode=export')
    judged = [judgement.Judgement(row['example_id'], 'scored', {'depth': i % 5 + 1.0})
              for i, row in enumerate(jsonl.read(copy / 'runs/full/responses.jsonl'))]  # fmt: skip
    judgement.write(copy / 'made.jsonl', judged)
    by = ('--config.judge.kind=file', f'--config.judge.source={copy}/made.jsonl', '--config.judge.name=jo')
    assert start(*asked[:-1], *by, '--mode=judge').code == 0
    ended = start(*asked)
    assert 'runs/full/answers, judged by jo, oracle' in ended.out
    for name in ('just_eval_jo.json', 'mt_bench_jo-depth_single.jsonl'):
        back, left = formats.judgements(copy / 'runs/full/answers' / name, 'full')
        assert not left
        assert [each.example_id for each in back] == [each.example_id for each in judged]
        assert [[*each.scores.values()] for each in back] == [[*each.scores.values()] for each in judged]
    record = json.loads((copy / 'done/judge-full.jo.json').read_text())
    record['settings']['responses'] = 'of others'
    (copy / 'done/judge-full.jo.json').write_text(json.dumps(record))
    ended = start(*asked)
    assert 'export full: jo.jsonl left out, it is of other responses; --mode=judge judges these' in ended.out
    assert not (copy / 'runs/full/answers/just_eval_jo.json').exists()


def test_generation_ends_where_the_run_was_trained_to_end(exported):
    folder = exported / 'runs/lora/model'
    row = next(row for row in jsonl.read(exported / 'runs/lora/responses.jsonl') if row['token_ids'])
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    prompt = torch.tensor([row['prompt_token_ids']])
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False)
    assert out[0, prompt.shape[1] :].tolist() == row['token_ids']


@pytest.mark.parametrize(('run', 'kind'), [('lora', 'model'), ('full', 'model'), ('lora', 'adapter')])
def test_the_tokenizer_lies_beside_the_weights(exported, run, kind):
    ours = transformers.AutoTokenizer.from_pretrained(exported / 'runs' / run / kind)
    base = transformers.AutoTokenizer.from_pretrained(exported / 'base')
    assert (ours.get_vocab(), ours.chat_template) == (base.get_vocab(), base.chat_template)


@pytest.mark.parametrize(('run', 'kind'), [('lora', 'model'), ('full', 'model'), ('lora', 'adapter')])
def test_the_card_has_a_head_that_the_hub_reads_and_the_measured_shift(exported, run, kind):
    card = ModelCard.load(exported / 'runs' / run / kind / 'README.md')
    assert card.data.library_name == ('peft' if kind == 'adapter' else 'transformers')
    assert card.data.pipeline_tag == 'text-generation'
    (summary,) = json.loads((exported / f'runs/{run}/summary.json').read_text())
    figure = summary['all']['kl_tuned_base']
    low, high = figure['interval']
    assert f'| {figure["mean"]:.4f} [{low:.4f}, {high:.4f}] |' in card.text
    settings = json.loads((exported / 'experiment.json').read_text())['config']['runs'][run]
    assert f'| learning_rate | `{settings["learning_rate"]}` |' in card.text
    assert ('| rank |' in card.text) == (run == 'lora')
    data = json.loads((exported / 'done/data.json').read_text())['settings']
    assert data['records'] in card.text


def test_a_run_that_was_not_measured_has_a_card_that_says_so(copy):
    (copy / 'runs/full/summary.json').unlink()
    ended = start(*TINY, f'--workdir={copy}', *EXPORT, '--only=full')
    assert ended.code == 0, ended.err
    text = (copy / 'runs/full/model/README.md').read_text()
    assert 'It has not been measured.' in text
    assert 'KL' not in text


def test_the_card_names_the_sweep_that_measured_and_not_the_one_that_is_asked_for_now(copy):
    asked = (*TINY, f'--workdir={copy}', *EXPORT, '--only=full')
    ended = start(*asked, '--config.sweep.bootstrap=60', '--config.sweep.compat=aligntds')
    assert ended.code == 0, ended.err
    text = (copy / 'runs/full/model/README.md').read_text()
    assert 'settings of the sweep unlike their defaults: `bootstrap=50`.\n' in text
    swept = copy / 'done/sweep-full.json'
    record = json.loads(swept.read_text())
    record['settings']['model'] = 'another'
    swept.write_text(json.dumps(record))
    assert 'sweep full was made with another model (another, now ' in start(*asked).error()


def test_the_files_are_read_again_and_their_distances_told(exported):
    ended = start(*TINY, f'--workdir={exported}', '--mode=verify_export', *EXPORT[1:])
    assert ended.code == 0, ended.err
    found = json.loads((exported / 'runs/lora/export.json').read_text())
    distances = {tuple(item['between']): item for item in found['distances']}
    assert found['responses'] == 8
    same = {'greatest_logit_difference': 0.0, 'mean_kl': 0.0, 'same_top_1': 100.0}
    for pair in (('lazy', 'adapter'), ('folded', 're-read')):
        assert same.items() <= distances[pair].items()
    near = distances['lazy', 're-read']
    assert 0 < near['greatest_logit_difference'] < 1e-5
    assert near['same_top_1'] == 100
    assert f'lora, lazy and re-read: greatest |dlogit| {near["greatest_logit_difference"]:.3g}, mean KL' in ended.out
    (full,) = json.loads((exported / 'runs/full/export.json').read_text())['distances']
    assert full['between'] == ['run', 're-read']
    assert same.items() <= full.items()


def test_a_second_export_finds_everything_done_and_another_dtype_writes_anew(copy):
    asked = (*TINY, f'--workdir={copy}', '--only=full', '--mode=export')
    assert start(*asked).code == 0
    again = start(*asked)
    assert 'export full: done before' in again.out
    ended = start(*asked, '--config.export.dtype=float16')
    assert 'export full: export.dtype (bfloat16, now float16) has changed; doing it again' in ended.out
    config = json.loads((copy / 'runs/full/model/config.json').read_text())
    assert config['torch_dtype'] == 'float16'
    verify = [each.replace('export', 'verify_export') if 'mode' in each else each for each in asked]
    refused = start(*verify)
    assert refused.code == 2
    assert 'export full was made with another export.dtype (float16, now bfloat16); --mode=export' in refused.error()
    rounded = start(*verify, '--config.export.dtype=float16')
    assert rounded.code == 0, rounded.err
    (found,) = json.loads((copy / 'runs/full/export.json').read_text())['distances']
    assert 1e-5 < found['greatest_logit_difference'] < 1e-2


def test_a_damaged_export_is_not_verified(copy):
    asked = (*TINY, f'--workdir={copy}', '--only=full')
    assert start(*asked, '--mode=export').code == 0
    path = copy / 'runs/full/model/model.safetensors'
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    ended = start(*asked, '--mode=verify_export')
    assert ended.code == 2
    assert 'runs/full/model/model.safetensors is damaged; --mode=export makes it again' in ended.error()


def test_what_is_not_exported_or_not_answered_is_one_line(copy):
    asked = (*TINY, f'--workdir={copy}', '--only=full')
    assert 'export full is not finished; --mode=export does' in start(*asked, '--mode=verify_export').error()
    (copy / 'runs/full/responses.jsonl').unlink()
    (copy / 'runs/full/summary.json').unlink()
    assert start(*asked, '--mode=export').code == 0
    assert 'responses.jsonl: no such file; run the stages before' in start(*asked, '--mode=verify_export').error()
