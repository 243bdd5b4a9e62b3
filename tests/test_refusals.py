"""What was made with other settings, or by another tool, is neither taken for this study's nor thrown away."""

import json

import pytest
from commandline import TINY, start


def test_other_settings_of_training_are_refused(copy):
    before = (copy / 'runs/lora/metrics.jsonl').read_bytes(), (copy / 'experiment.json').read_bytes()
    ended = start(*TINY, f'--workdir={copy}', '--config.runs.lora.learning_rate=1e-4')
    assert ended.code == 2
    assert 'train lora was made with another run.learning_rate (0.002, now 0.0001)' in ended.error()
    assert 'give another --workdir' in ended.error()
    assert ((copy / 'runs/lora/metrics.jsonl').read_bytes(), (copy / 'experiment.json').read_bytes()) == before


def test_checkpoints_of_other_settings_are_refused_where_the_record_was_removed(copy):
    train = (*TINY, f'--workdir={copy}', '--mode=train')
    (copy / 'done/train-lora.json').unlink()
    ended = start(*train, '--config.runs.lora.learning_rate=1e-4')
    assert ended.code == 2
    assert f'{copy}/runs/lora/checkpoints: trained with another run.learning_rate (0.002, now 0.0001)' in ended.error()
    ended = start(*train, '--config.runs.lora.log_every=7', '--config.runs.lora.checkpoint_every=40')
    assert ended.code == 0, ended.err
    assert 'going on from step 150' in ended.out


@pytest.mark.parametrize(
    ('mode', 'setting', 'said'),
    [
        ('train', 'data.max_length=90', 'data was made with another data.max_length (96, now 90)'),
        ('sweep', 'base.dtype=bfloat16', 'train lora was made with another dtype (float32, now bfloat16)'),
        ('sweep', 'data.limit=9', 'data was made with another data.limit (0, now 9)'),
        ('sweep', 'prompts.limit=3', 'respond lora was made with another prompts.limit (0, now 3)'),
        ('respond', 'runs.lora.seed=3', 'train lora was made with another run.seed (0, now 3)'),
        ('causes', 'sweep.top_k=3', 'sweep lora was made with another sweep.top_k (10, now 3)'),
        ('report', 'sweep.shifted_above=5', 'sweep lora was made with another sweep.shifted_above (3, now 5)'),
    ],
)
def test_a_stage_alone_takes_nothing_that_other_settings_made(finished, mode, setting, said):
    ended = start(*TINY, f'--workdir={finished}', f'--mode={mode}', f'--config.{setting}')
    assert ended.code == 2
    assert f'{said}; --mode=run does what is missing' in ended.error()


def test_a_model_whose_training_is_not_finished_is_not_compared(copy):
    record = copy / 'done/train-lora.json'
    record.write_text(json.dumps(json.loads(record.read_text()) | {'files': None}))
    for mode in ('respond', 'sweep'):
        ended = start(*TINY, f'--workdir={copy}', f'--mode={mode}')
        assert ended.code == 2
        assert 'train lora is not finished; --mode=run does what is missing' in ended.error()


def test_another_world_is_refused_before_anything_is_written(copy):
    before = (copy / 'data/world/facts.json').read_bytes()
    ended = start(*TINY, f'--workdir={copy}', '--config.world.seed=1')
    assert ended.code == 2
    assert 'world was made with another world.seed (0, now 1)' in ended.error()
    assert (copy / 'data/world/facts.json').read_bytes() == before


def test_other_data_is_refused_once_a_run_has_begun_on_it(copy):
    before = (copy / 'data/counts.json').read_bytes()
    ended = start(*TINY, f'--workdir={copy}', '--config.data.limit=9')
    assert ended.code == 2
    assert 'data was made with another data.limit (0, now 9); give another --workdir' in ended.error()
    assert (copy / 'data/counts.json').read_bytes() == before


def test_responses_of_another_tool_are_compared_and_never_overwritten(copy):
    (copy / 'done/respond-lora.json').unlink()
    path = copy / 'runs/lora/responses.jsonl'
    path.write_text(''.join(path.read_text().splitlines(keepends=True)[:5]))
    foreign = path.read_bytes()
    ended = start(*TINY, f'--workdir={copy}', '--only=lora')
    assert ended.code == 2
    assert f'{path}: not written here; compare it with --mode=sweep, or remove it' in ended.error()
    ended = start(*TINY, f'--workdir={copy}', '--mode=sweep', '--only=lora')
    assert ended.code == 0, ended.err
    assert path.read_bytes() == foreign
    (found,) = json.loads((copy / 'runs/lora/summary.json').read_text())
    assert found['all']['responses'] == 5
