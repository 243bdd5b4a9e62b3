"""Analyses that compute models, as a user starts them, on a tiny world."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from commandline import TINY, start
from safetensors.numpy import load_file


@pytest.fixture
def asked(copy):
    ended = start(*TINY, f'--workdir={copy}', '--mode=causes', '--config.causes.analyses=weights')
    assert ended.code == 0, ended.err
    return copy


def read(folder, run):
    figures = json.loads((folder / f'runs/{run}/causes/weights.json').read_text())
    return figures, pq.read_table(folder / f'runs/{run}/causes/weights.modules.parquet').to_pylist()


def test_every_module_of_an_adapter_has_the_spectrum_of_its_files(asked):
    figures, rows = read(asked, 'lora')
    assert {row['kind'] for row in rows} == {'q_proj', 'v_proj'}
    assert figures['unchanged'] == 2 * 9 - 4 + 3  # 9 kinds of leaves in two layers, embedding, norm and head
    tensors = load_file(asked / 'runs/lora/adapter/adapter_model.safetensors')
    config = json.loads((asked / 'runs/lora/adapter/adapter_config.json').read_text())
    for row in rows:
        a, b = (tensors[f'base_model.model.{row["module"]}.lora_{part}.weight'].astype(np.float64) for part in 'AB')
        values = np.linalg.svd(config['lora_alpha'] / config['r'] * b @ a, compute_uv=False)
        np.testing.assert_allclose(row['spectrum'], values[: config['r']], rtol=1e-3, atol=1e-5)
        assert row['effective_rank'] <= 8


def test_full_tuning_changes_every_parameter_and_is_held_to_the_base(asked):
    figures, rows = read(asked, 'full')
    assert figures['unchanged'] == 0
    assert {row['module'] for row in rows} >= {'model.embed_tokens', 'lm_head', 'model.norm'}
    base = load_file(asked / 'base/model.safetensors')
    for row in rows:
        assert row['base_norm'] == pytest.approx(np.linalg.norm(base[f'{row["module"]}.weight']), rel=1e-5)
        if row['kind'].endswith('_proj'):
            assert row['norm'] == pytest.approx(np.linalg.norm(row['spectrum']), rel=1e-4)
            assert row['intruders'] == sum(cosine < 0.5 for cosine in row['cosines'])
            assert row['directions'] == len(row['cosines'])
    (norm,) = [row for row in rows if row['module'] == 'model.norm']
    assert norm['effective_rank'] is None


def test_another_epsilon_does_it_again_and_nothing_else(asked):
    ended = start(
        *TINY, f'--workdir={asked}', '--mode=causes', '--config.causes.analyses=truth,weights',
        '--config.causes.weights_epsilon=0.9', '--only=lora',
    )  # fmt: skip
    assert 'causes lora.truth: done before' in ended.out
    assert 'causes lora.weights: epsilon (0.5, now 0.9) has changed; doing it again' in ended.out


def test_models_between_base_and_tuned_are_compared_and_asked(copy):
    ended = start(
        *TINY, f'--workdir={copy}', '--mode=causes', '--config.causes.analyses=interpolation',
        '--config.causes.interpolation_factors=(0,1)', '--config.causes.interpolation_restored=(1,)',
    )  # fmt: skip
    assert ended.code == 0, ended.err
    for run in ('lora', 'full'):
        figures = json.loads((copy / f'runs/{run}/causes/interpolation.json').read_text())
        base, tuned, *restored = figures['points']
        (swept,) = json.loads((copy / f'runs/{run}/summary.json').read_text())
        truth = json.loads((copy / f'runs/{run}/causes/truth.json').read_text())
        assert base['all']['kl_tuned_base']['greatest'] == 0
        assert base['answers']['held_out_accuracy'] == truth['base_held_out_accuracy']
        for measure in ('kl_tuned_base', 'js', 'base_probability'):
            assert tuned['all'][measure]['mean'] == pytest.approx(swept['all'][measure]['mean'], rel=1e-4)
        assert tuned['answers']['held_out_accuracy'] == truth['held_out_accuracy']
        assert [point['way'] for point in restored] == ['most', 'least', 'random']
        assert [point['put_back'] for point in restored[1:]] == [1, 1]
        assert restored[0]['put_back'] > 0.5  # rows of words that the data lacks never changed
        assert [point['all']['kl_tuned_base']['greatest'] for point in restored] == [0, 0, 0]


def test_swapped_answers_lie_between_those_of_both_models(copy):
    ended = start(
        *TINY, f'--workdir={copy}', '--mode=causes', '--config.causes.analyses=swaps', '--only=lora',
        '--config.causes.swaps_budgets=(0.3,1)',
    )  # fmt: skip
    assert ended.code == 0, ended.err
    figures = json.loads((copy / 'runs/lora/causes/swaps.json').read_text())
    truth = json.loads((copy / 'runs/lora/causes/truth.json').read_text())
    accuracy = {'base': truth['base_held_out_accuracy'], 'tuned': truth['held_out_accuracy']}
    for host, donor in (('base', 'tuned'), ('tuned', 'base')):
        alone, some, all_, some_by_lot, all_by_lot = (row for row in figures['points'] if row['host'] == host)
        assert alone['answers']['held_out_accuracy'] == accuracy[host]
        assert (alone['swapped'], alone[f'same_as_{host}']) == (0, 1)
        for row in (all_, all_by_lot):
            assert row['answers']['held_out_accuracy'] == accuracy[donor]
            assert (row['swapped'], row[f'same_as_{donor}']) == (1, 1)
        assert 0 < some['swapped'] < 1
        assert some_by_lot['swapped'] == pytest.approx(0.3, abs=0.12)
