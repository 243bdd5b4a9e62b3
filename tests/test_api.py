"""The Python interface: what it gives is what the command line gives, and what a loop over the logits gives."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commandline import ROOT

import jaxshift
from jaxshift import asking, options
from jaxshift.errors import InputError
from jaxshift.respond import responses

AT_FIRST = signal.getsignal(signal.SIGINT)  # in a job in the background it is ignored
PROMPTS = ['the capital of France', 'is Paris the capital of France', 'Paris']
SHORT = {'max_new_tokens': 6}


@pytest.fixture(scope='module')
def perturbed(torch_llama, tokenizer, tmp_path_factory):
    """Two folders, and the torch models in them: the second has another last layer and another head."""
    import torch

    folders, models = [], []
    for index in range(2):
        model = torch_llama()
        if index:
            with torch.no_grad():
                for parameter in (model.lm_head.weight, model.model.layers[-1].mlp.down_proj.weight):
                    parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        folder = tmp_path_factory.mktemp('model')
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders.append(folder)
        models.append(model.double())
    return folders, models


@pytest.fixture(scope='module')
def compared(perturbed, tmp_path_factory):
    (base, tuned), _ = perturbed
    return jaxshift.compare(base, f'dir:{tuned}', PROMPTS, tmp_path_factory.mktemp('named'), respond=SHORT)


def test_importing_it_imports_no_jax():
    code = 'import sys, jaxshift; assert not {"jax", "pandas", "numpy"} & set(sys.modules); print(dir(jaxshift))'
    ended = subprocess.run([sys.executable, '-c', code], cwd=ROOT, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert {'Comparison', 'compare', 'load'} <= set(re.findall(r'\w+', ended.stdout))
    with pytest.raises(AttributeError, match=r"no attribute 'compares'; it has Comparison, compare, load"):
        jaxshift.compares  # noqa: B018


def test_a_model_has_not_shifted_from_itself(perturbed, tmp_path):
    (base, _), _ = perturbed
    found = jaxshift.compare(base, base, PROMPTS, respond=SHORT)
    tokens = found.tokens
    assert set(tokens['example_id']) == {'0', '1', '2'}
    for name in ('kl_tuned_base', 'kl_base_tuned', 'js', 'total_variation'):
        assert (tokens[name] == 0).all(), name
    assert (tokens['base_rank'] == 1).all()
    assert (tokens['shift_class'] == 'unshifted').all()
    assert found.summary['all']['kl_tuned_base']['mean'] == 0
    page = found.save(tmp_path / 'mailed')
    assert page == tmp_path / 'mailed/index.html'
    assert (tmp_path / 'mailed/tables/runs.csv').is_file()
    workdir = found.workdir
    assert workdir.is_dir()
    del found
    assert not workdir.exists()  # the temporary one goes with its result


def test_kl_is_that_of_a_loop_in_float64(perturbed, compared):
    import torch

    _, (base, tuned) = perturbed
    expected, ranks = {}, {}
    for row in responses.read(compared.workdir / 'runs/tuned/responses.jsonl'):
        ids = torch.tensor([row['prompt_token_ids'] + row['token_ids']])
        with torch.no_grad():
            logits = [model(ids).logits[0].numpy() for model in (base, tuned)]
        for position in range(len(row['token_ids'])):
            at = len(row['prompt_token_ids']) - 1 + position
            q, p = (np.exp(each[at]) / np.exp(each[at]).sum() for each in logits)
            assert q.dtype == np.float64
            expected[row['example_id'], position] = sum(p[i] * np.log(p[i] / q[i]) for i in range(len(p)))
            ranks[row['example_id'], position] = 1 + sum(q > q[p.argmax()])
    tokens = compared.tokens.set_index(['example_id', 'position'])
    assert len(tokens) == len(expected) > 10
    assert min(expected.values()) > 1e-4
    np.testing.assert_allclose(tokens['kl_tuned_base'].loc[list(expected)], list(expected.values()), rtol=1e-4)
    assert tokens['base_rank'].loc[list(ranks)].tolist() == list(ranks.values())
    mean = compared.summary['all']['kl_tuned_base']['mean']
    assert mean == pytest.approx(np.mean(list(expected.values())), rel=1e-4)
    assert f'mean KL(tuned || base) {mean:.4g} nats over {len(tokens)} positions' in repr(compared)


def test_the_same_call_finds_what_is_done_and_a_loaded_one_is_equal(perturbed, compared, capsys):
    (base, tuned), _ = perturbed
    again = jaxshift.compare(base, tuned, PROMPTS, compared.workdir, respond=SHORT)
    assert 'sweep tuned: done before' in capsys.readouterr().out
    for found in (again, jaxshift.load(compared.workdir), jaxshift.load(str(compared.workdir), 'tuned')):
        assert found.tokens.equals(compared.tokens)
        assert found.summaries == compared.summaries == [compared.summary]
        assert found.show().html == compared.show().html


def test_a_call_leaves_the_process_as_it_was(compared):
    import jax

    assert signal.getsignal(signal.SIGINT) is AT_FIRST
    assert jax.config.jax_compilation_cache_dir is None


def test_an_example_is_named_by_its_number_or_its_text(compared):
    for example in ('0', '1', '2'):
        assert f'<strong>tuned, {example}, ' in compared.show(example).html
        assert compared.show(int(example)).html == compared.show(example).html
    with pytest.raises(InputError, match="no example '3' among 3"):
        compared.show(3)
    assert repr(compared.show()).startswith('<View: ')
    assert len(repr(compared.show())) < 100


def test_rows_stand_by_example_and_position(compared):
    tokens = compared.tokens
    assert tokens[['example_id', 'position']].equals(
        tokens[['example_id', 'position']].sort_values(['example_id', 'position'], ignore_index=True)
    )


def test_conversations_are_prompts_and_no_file_of_the_user_is_touched(perturbed, tmp_path):
    (base, tuned), _ = perturbed
    (tmp_path / 'prompts.json').write_text('MY PROMPTS')
    turns = [{'role': 'user', 'content': 'Paris'}, {'role': 'assistant', 'content': 'is'},
             {'role': 'user', 'content': 'the capital'}]  # fmt: skip
    found = jaxshift.compare(base, tuned, ['Paris', turns], tmp_path, respond=SHORT)
    assert (tmp_path / 'prompts.json').read_text() == 'MY PROMPTS'
    first, second = responses.read(tmp_path / 'runs/tuned/responses.jsonl')
    assert len(first['prompt_token_ids']) + 3 <= len(second['prompt_token_ids'])
    again = jaxshift.compare(base, tuned, ['Paris'], tmp_path, respond=SHORT)
    assert set(again.tokens['example_id']) == {'0'}
    assert len(list((tmp_path / 'prompts').iterdir())) == 2
    assert len(found.workdir.joinpath('runs/tuned/responses.jsonl').read_text().splitlines()) == 1


def test_it_works_in_a_thread_too(perturbed, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    (base, tuned), _ = perturbed
    with ThreadPoolExecutor() as pool:
        found = pool.submit(jaxshift.compare, base, tuned, PROMPTS[2:], tmp_path, respond=SHORT).result()
    assert set(found.tokens['example_id']) == {'0'}
    assert signal.getsignal(signal.SIGINT) is AT_FIRST


def test_it_asks_for_what_the_config_file_asks_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('TUNED').mkdir()
    by_file = options.load(str(ROOT / 'configs/compare.py'))
    by_file.base.source, by_file.prompts.source = 'hf:OWNER/NAME', 'file:PROMPTS.json'
    by_file.runs['tuned'].source, by_file.sweep.contexts = 'dir:TUNED', ('own', 'base')
    asked = asking.experiment('hf:OWNER/NAME', Path('TUNED'), 'PROMPTS.json', {'sweep': {'contexts': ['own', 'base']}})
    assert asked == by_file
    asked = asking.experiment('TUNED', 'hf:OWNER/NAME', 'P.json', {'base.dtype': 'bfloat16', 'seed': 3})
    assert (asked.base.dtype, asked.base.source, asked.seed) == ('bfloat16', 'dir:TUNED', 3)


def test_every_run_of_a_study_can_be_loaded(finished, tmp_path):
    full, lora = jaxshift.load(finished, run='full'), jaxshift.load(finished)
    assert full.runs == lora.runs == ('lora', 'full')
    assert (full.run, lora.run) == ('full', 'lora')
    for found in (full, lora):
        assert found.summary == json.loads((finished / f'runs/{found.run}/summary.json').read_text())[0]
        assert len(found.tokens) == found.summary['all']['positions']
        assert (found.tokens['run'] == found.run).all()
        assert f'<strong>{found.run}, ' in found.show()._repr_html_()
    assert 'runs: lora, full>' in repr(lora)
    assert lora.save(tmp_path / 'report').read_bytes() == (finished / 'report/index.html').read_bytes()


def test_a_study_whose_tokenizer_is_gone_still_has_its_numbers(perturbed, compared, tmp_path):
    folder = Path(shutil.copytree(compared.workdir, tmp_path / 'moved'))
    recorded = json.loads((folder / 'experiment.json').read_text())
    recorded['config']['base']['source'] = 'dir:gone'
    (folder / 'experiment.json').write_text(json.dumps(recorded))
    found = jaxshift.load(folder)
    assert found.tokens.equals(compared.tokens)
    with pytest.raises(InputError, match='gone'):
        found.show()


class Long:
    """As a model in memory is shown."""

    def __repr__(self):
        return 'Model(\n  (layers)\n)'


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        ({'prompts': []}, 'prompts is empty; give at least one text'),
        ({'prompts': ['the', 3]}, 'prompts[1] is 3; it must be a text that is not empty, or a list of'),
        ({'prompts': [Long()]}, 'prompts[0] is of type Long; it must be a text'),
        ({'prompts': [{'role': 'user', 'content': 'Hi'}]}, 'prompts[0] is of type dict; it must be a text'),
        ({'prompts': [[{'role': 'user', 'content': ' '}]]}, 'prompts[0] is of type list; it must be a text'),
        ({'prompts': None}, 'prompts is of type NoneType; give a list of texts, or the path of a file'),
        ({'prompts': {'instruction': 'Hi'}}, 'prompts is of type dict; give a list of texts'),
        ({'prompts': 'nowhere.json'}, 'prompts: nowhere.json does not exist; give the path of a file, of a folder of'),
        ({'prompts': 'What is it? ' * 500}, 'prompts: File name too long; give the path of a file; or texts as a list'),
        ({'base': 'nowhere'}, 'base is nowhere: no such folder; give the one that holds config.json'),
        ({'tuned': 'dir:gone'}, 'tuned is gone: no such folder'),
        ({'base': 3}, 'base is of type int; give the path of a model, or a source such as hf:OWNER/NAME'),
        ({'tuned': Long()}, 'tuned is of type Long; give the path of a model'),
        ({'respond': {'max_tokens': 4}}, 'unknown key config.respond.max_tokens; did you mean config.respond.max_'),
        ({'sweep': {'top_k': 0}}, 'config.sweep.top_k is 0; it must be at least 1'),
    ],
)
def test_what_is_at_fault_is_told_in_a_line(perturbed, tmp_path, monkeypatch, changes, line):
    monkeypatch.chdir(tmp_path)
    (base, tuned), _ = perturbed
    with pytest.raises(InputError) as raised:
        jaxshift.compare(**{'base': base, 'tuned': tuned, 'prompts': PROMPTS, 'workdir': 'W'} | changes)
    assert not Path('W').exists()
    assert line in str(raised.value)
    assert '\n' not in str(raised.value)


def test_the_example_of_the_readme_runs(finished, tmp_path):
    """As it stands, beside a finished demo."""
    (example,) = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    (tmp_path / 'workdirs').mkdir()
    (tmp_path / 'workdirs/demo').symlink_to(finished)
    ended = subprocess.run(
        [sys.executable, '-c', example], cwd=tmp_path, text=True, capture_output=True,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / 'report/index.html').is_file()
