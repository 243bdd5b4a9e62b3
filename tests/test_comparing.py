"""The sweep stage on the tiny world: what it refuses, what it says, and what the report makes of other windows."""

import json
from collections import Counter

import pytest
from commandline import TINY, start

from jaxshift import comparing
from jaxshift.shift import contexts, templates


def files(folder):
    kept = [*folder.glob('runs/*/tokens/*'), *folder.glob('runs/*/summary.json'), *folder.glob('done/*')]
    return {path: path.read_bytes() for path in kept}


def summaries(folder, run):
    return json.loads((folder / f'runs/{run}/summary.json').read_text())


@pytest.mark.parametrize(('step', 'run'), [(7, 'lora'), (150, 'full')])  # lora, which is first, keeps its last, 150
def test_a_step_that_is_not_kept_is_refused_before_anything_is_cleared(copy, step, run):
    before = files(copy)
    ended = start(*TINY, f'--workdir={copy}', '--mode=sweep', f'--config.sweep.steps={step}')
    assert ended.code == 2
    assert f'run {run} keeps no checkpoint of step {step}' in ended.error()
    assert files(copy) == before


def test_the_terminal_tells_of_the_plain_windows_wherever_they_stand(copy):
    asked = (*TINY, f'--workdir={copy}', '--mode=sweep', '--only=lora')
    ended = start(*asked, '--config.sweep.context_lengths=8,-1')
    assert ended.code == 0, ended.err
    short, whole = (item['all'] for item in summaries(copy, 'lora'))
    assert short['kl_tuned_base']['mean'] != whole['kl_tuned_base']['mean']
    line = f'lora: mean KL(tuned || base) {whole["kl_tuned_base"]["mean"]:.4f} nats over {whole["positions"]} windows'
    assert line in ended.out.splitlines()
    ended = start(*asked, '--config.sweep.context_lengths=8', '--config.sweep.contexts=base')
    assert ended.code == 0, ended.err
    assert 'windows (context base, template matched, prompt tokens kept: 8)\n' in ended.out


def test_a_study_as_it_was_made_is_compared_with_no_other_settings(finished):
    assert 'has been compared with another' not in (finished / 'report/index.html').read_text()


def test_a_run_that_was_compared_on_other_windows_is_left_out_of_the_figures_and_named(copy):
    ended = start(*TINY, f'--workdir={copy}', '--only=lora', '--config.sweep.contexts=reference')
    assert ended.code == 0, ended.err
    page = (copy / 'report/index.html').read_text()
    assert (
        'Run lora has not been compared on the windows shown here (context own, template matched, whole prompts)'
    ) in page
    assert 'Run full has been compared with another sweep.contexts' in page
    curves = (copy / 'report/tables/curves.csv').read_text()
    assert '"full"' in curves
    assert '"lora"' not in curves
    runs = (copy / 'report/tables/runs.csv').read_text()
    assert '"reference"' in runs


def test_what_is_compared_is_made_once_a_run_and_each_prompt_read_once_a_template(copy, monkeypatch):
    calls: Counter[str] = Counter()

    def counted(module, name):
        work = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: calls.update([name]) or work(*given))

    for module, name in ((templates, 'prompt_ids'), (contexts, 'cases'), (comparing, '_rows')):
        counted(module, name)
    path = copy / 'runs/lora/responses.jsonl'
    answered = path.read_text().splitlines(keepends=True)[:5]
    path.write_text(''.join(answered))
    (copy / 'done/respond-lora.json').unlink()
    ended = start(
        *TINY, f'--workdir={copy}', '--mode=sweep', '--only=lora', '--config.sweep.contexts=own,shared',
        '--config.sweep.templates=matched,native,urial',
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert calls == {'_rows': 2, 'cases': 6, 'prompt_ids': 2 * len(answered)}


def test_samples_count_as_one_prompt_from_the_responses_to_the_page(copy):
    asked = (*TINY, f'--workdir={copy}', '--only=lora', '--config.sweep.templates=matched,native')
    ended = start(*asked, '--config.respond.samples=2', '--config.respond.temperature=1')
    assert ended.code == 0, ended.err
    prompts = len(json.loads((copy / 'data/world/prompts.json').read_text()))
    for item in summaries(copy, 'lora'):
        assert (item['all']['responses'], item['all']['prompts']) == (2 * prompts, prompts)
    truth = json.loads((copy / 'runs/lora/causes/truth.json').read_text())
    assert truth['held_out_n'] == truth['base_held_out_n'] == 12
    lines = (copy / 'runs/lora/responses.jsonl').read_text().splitlines()
    answers = [row for row in map(json.loads, lines) if row['example_id'].startswith('held-out')]
    assert len(answers) == 2 * 12
    assert truth['mean_response_words'] == pytest.approx(sum(len(row['response'].split()) for row in answers) / 24)
    words = sum(len(row['token_ids']) - (row['finish_reason'] == 'stop') for row in answers)
    assert truth['value_n'] + truth['other_n'] == words
