"""A whole study on a tiny controlled world: the workdir, going on after a stop, and doing again what has changed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from commandline import COMPARE, ROOT, TINY, start
from safetensors.numpy import load_file, save_file

from jaxshift.store import checkpoint, manifest


def stages(out: str, said: str) -> list[str]:
    return [line.partition(':')[0] for line in out.splitlines() if said in line]


def causes(*analyses: str) -> list[str]:
    return [f'causes {run}.{each}' for each in analyses for run in ('lora', 'full')]


def test_the_workdir_holds_what_other_tools_read(finished):
    for name in (
        'experiment.json', 'base/config.json', 'base/model.safetensors', 'base/tokenizer.json', 'base/responses.jsonl',
        'data/dataset_info.json', 'data/counts.json', 'runs/lora/adapter/adapter_config.json',
        'runs/lora/adapter/adapter_model.safetensors', 'report/index.html', 'report/tables/runs.csv',
        'report/tables/runs.parquet', 'report/figures/loss.svg', 'report/figures/loss.png',
    ):  # fmt: skip
        assert (finished / name).is_file(), name
    for run in ('lora', 'full'):
        folder = finished / 'runs' / run
        for name in (
            'metrics.jsonl',
            'responses.jsonl',
            'summary.json',
            'causes/truth.json',
            'tokens/part-00000.parquet',
        ):
            assert (folder / name).is_file(), name
        steps = [path for path in (folder / 'checkpoints').iterdir() if path.is_dir()]
        assert all((step / 'MANIFEST.json').is_file() for step in steps)
    described = json.loads((finished / 'experiment.json').read_text())
    assert {'config', 'config_hash', 'command', 'versions', 'devices'} <= described.keys()
    assert described['config']['world']['known_people'] == 24


def test_list_shows_which_stages_are_done(finished):
    out = start('--mode=list', f'--workdir={finished}').out
    assert '  train    done full, lora\n' in out
    assert '  respond  done base, full, lora\n' in out


def test_a_second_start_finds_everything_done(finished):
    before = {path: path.stat().st_mtime_ns for path in (finished / 'runs').rglob('*')}
    begun = time.monotonic()
    ended = start(*TINY, f'--workdir={finished}')
    assert ended.code == 0
    assert time.monotonic() - begun < 20
    names = [path.stem.replace('-', ' ') for path in (finished / 'done').iterdir()]
    assert sorted(stages(ended.out, 'done before')) == sorted(names), ended.out
    assert before == {path: path.stat().st_mtime_ns for path in (finished / 'runs').rglob('*')}


def test_a_start_verifies_every_checkpoint_once(finished, monkeypatch):
    hashed, sha256 = Counter(), manifest._sha256
    monkeypatch.setattr(manifest, '_sha256', lambda path: hashed.update([path]) or sha256(path))
    assert start(*TINY, f'--workdir={finished}').code == 0
    for run in ('lora', 'full'):
        checkpoints = finished / 'runs' / run / 'checkpoints'
        last = checkpoints / str(checkpoint.steps(checkpoints)[-1])
        assert {hashed[path] for path in last.rglob('*') if path.is_file()} == {1}


def test_training_that_was_stopped_goes_on_to_the_same_result(finished, copy):
    shutil.rmtree(copy / 'runs')
    shutil.rmtree(copy / 'report')
    (copy / 'base/responses.jsonl').unlink()
    for path in (copy / 'done').iterdir():
        if path.stem not in ('world', 'data', 'base'):
            path.unlink()
    command = (*TINY, f'--workdir={copy}', '--only=lora', '--config.runs.lora.log_every=1')
    process = subprocess.Popen([sys.executable, ROOT / 'run.py', *command], stderr=subprocess.PIPE, text=True)
    metrics = copy / 'runs/lora/metrics.jsonl'
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count('\n') >= 3):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 75
    assert 'start the same command again to go on' in err
    assert 'train begun lora' in ' '.join(start('--mode=list', f'--workdir={copy}').out.split())

    ended = start(*command)
    assert ended.code == 0, ended.err
    assert 'going on from step' in ended.out
    for name in ('adapter/adapter_model.safetensors', 'responses.jsonl', 'summary.json'):
        path = Path('runs/lora') / name
        assert (copy / path).read_bytes() == (finished / path).read_bytes(), name
    assert [json.loads(line)['step'] for line in metrics.read_text().splitlines()] == list(range(1, 151))


def test_lost_responses_are_made_again(copy):
    path = copy / 'runs/lora/responses.jsonl'
    whole = path.read_text()
    path.write_text(''.join(whole.splitlines(keepends=True)[:5]))
    ended = start(*TINY, f'--workdir={copy}')
    assert ended.code == 0, ended.err
    assert stages(ended.out, 'doing it again') == ['respond lora']
    assert path.read_text() == whole


def test_other_settings_of_the_sweep_redo_it_and_what_follows(copy):
    ended = start(*TINY, f'--workdir={copy}', '--config.sweep.top_k=3')
    assert ended.code == 0, ended.err
    assert 'sweep lora: sweep.top_k (10, now 3) has changed; doing it again' in ended.out
    again = stages(ended.out, 'doing it again')
    assert again == [
        'sweep lora', 'summary lora', 'sweep full', 'summary full',
        *causes('truth', 'style_tokens', 'borrowing', 'uncertainty'), 'report',
    ]  # fmt: skip


def test_other_settings_of_the_summary_redo_no_sweep(copy):
    before = {path: path.stat().st_mtime_ns for path in copy.glob('runs/*/tokens/*')}
    ended = start(*TINY, f'--workdir={copy}', '--config.sweep.bootstrap=60')
    assert ended.code == 0, ended.err
    again = stages(ended.out, 'doing it again')
    assert again == [
        'summary lora', 'summary full', *causes('style_tokens', 'imitation', 'borrowing', 'uncertainty'),
        'scores lora.oracle', 'scores full.oracle', 'report',
    ]  # fmt: skip
    assert before == {path: path.stat().st_mtime_ns for path in copy.glob('runs/*/tokens/*')}
    (found,) = json.loads((copy / 'runs/lora/summary.json').read_text())
    assert found['bootstrap']['resamples'] == 60


def test_other_answers_of_the_base_redo_what_is_read_against_them(copy):
    path = copy / 'base/responses.jsonl'
    path.write_text(path.read_text().replace('"response": "', '"response": "so '))
    ended = start(*TINY, f'--workdir={copy}', '--mode=causes')
    assert ended.code == 0, ended.err
    assert stages(ended.out, 'base_responses') == causes('truth', 'imitation')


def test_training_goes_on_on_other_devices(copy):
    (copy / 'done/train-full.json').unlink()
    command = (
        *TINY,
        f'--workdir={copy}',
        '--mode=train',
        '--only=full',
        '--config.mesh.data=1',
        '--config.mesh.fsdp=2',
    )
    two = os.environ | {'XLA_FLAGS': f'{os.environ["XLA_FLAGS"]} --xla_force_host_platform_device_count=2'}
    ended = subprocess.run([sys.executable, ROOT / 'run.py', *command], env=two, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert 'going on from step 6' in ended.stdout


def test_a_damaged_checkpoint_is_not_compared_and_trained_again(finished, copy):
    last = copy / 'runs/full/checkpoints/6'
    victim = max((path for path in last.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1] + b'x')
    ended = start(*TINY, f'--workdir={copy}', '--mode=sweep')
    assert ended.code == 2
    assert f'train full: {victim.relative_to(copy)} is damaged; --mode=run makes it again' in ended.error()
    ended = start(*TINY, f'--workdir={copy}')
    assert ended.code == 0, ended.err
    assert 'is damaged; passed over' in ended.out
    path = Path('runs/full/responses.jsonl')
    assert (copy / path).read_bytes() == (finished / path).read_bytes()


@pytest.mark.parametrize('replaced', [(), ('embed_tokens',)])
def test_a_given_adapter_is_measured_as_the_run_that_trained_it(finished, tmp_path, replaced):
    adapter = Path(shutil.copytree(finished / 'runs/lora/adapter', tmp_path / 'adapter'))
    if replaced:  # by what was there before, so that two trees are compared, of the same numbers
        settings = json.loads((adapter / 'adapter_config.json').read_text()) | {'modules_to_save': list(replaced)}
        (adapter / 'adapter_config.json').write_text(json.dumps(settings))
        tensors = load_file(adapter / 'adapter_model.safetensors')
        name = 'model.embed_tokens.weight'
        tensors[f'base_model.model.{name}'] = load_file(finished / 'base/model.safetensors')[name]
        save_file(tensors, adapter / 'adapter_model.safetensors')
    ended = start(
        COMPARE,
        f'--config.base.source=dir:{finished}/base',
        f'--config.runs.tuned.source=dir:{adapter}',
        f'--config.prompts.source=file:{finished}/data/world/prompts.json',
        '--config.respond.max_new_tokens=8',
        f'--workdir={tmp_path / "work"}',
    )
    assert ended.code == 0, ended.err
    assert f'train tuned: tuned elsewhere, dir:{adapter}, an adapter of ' in ended.out
    trained, given = (
        json.loads((folder / 'summary.json').read_text())[0]['all']
        for folder in (finished / 'runs/lora', tmp_path / 'work/runs/tuned')
    )
    assert given['positions'] == trained['positions'] > 0
    assert given['kl_tuned_base']['mean'] == pytest.approx(trained['kl_tuned_base']['mean'], rel=1e-4)
    assert trained['kl_tuned_base']['mean'] > 0.01


def test_a_checkpoint_compared_with_itself_has_not_shifted(finished, tmp_path):
    ended = start(
        COMPARE,
        f'--config.base.source=dir:{finished}/base',
        f'--config.runs.tuned.source=dir:{finished}/base',
        f'--config.prompts.source=file:{finished}/data/world/prompts.json',
        '--config.respond.max_new_tokens=8',
        f'--workdir={tmp_path / "compared"}',
    )
    assert ended.code == 0, ended.err
    (found,) = json.loads((tmp_path / 'compared/runs/tuned/summary.json').read_text())
    measured = found['all']
    assert measured['positions'] > 0
    assert measured['kl_tuned_base']['mean'] == 0
    assert measured['kl_base_tuned']['mean'] == 0
    assert measured['base_rank']['mean'] == 1
    assert (tmp_path / 'compared/report/index.html').is_file()


def test_a_base_with_dynamic_scaling_is_studied_beyond_its_original_length(torch_llama, tokenizer, tmp_path):
    scaling = {'rope_type': 'dynamic', 'rope_theta': 1e4, 'factor': 4.0}
    for part in (torch_llama(rope_parameters=scaling, max_position_embeddings=16), tokenizer):
        part.save_pretrained(tmp_path / 'base')
    data = [{'instruction': 'the capital of France ' * 6, 'output': 'is Paris ' * 8}] * 4
    (tmp_path / 'data.json').write_text(json.dumps(data))
    ended = start(
        f'--config={ROOT / "configs/smollm2_135m.py"}', f'--config.base.source=dir:{tmp_path / "base"}',
        f'--config.data.source=file:{tmp_path / "data.json"}', '--config.data.template=paper', '--only=lora',
        '--config.runs.lora.max_steps=1', '--config.respond.max_new_tokens=9',
        '--config.sweep.contexts=own,reference', '--config.sweep.templates=matched,native',
        f'--workdir={tmp_path / "work"}',
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = json.loads((tmp_path / 'work/runs/lora/summary.json').read_text())
    for item in found:
        assert item['all']['responses'] == 4
        if item['context'] == 'reference':
            assert item['all']['positions'] == 4 * 17  # 16 words and the end token
    assert [(item['template'], item['context']) for item in found] == [
        (template, context) for template in ('matched', 'native') for context in ('own', 'reference')
    ]
