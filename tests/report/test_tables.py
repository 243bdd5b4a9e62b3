import csv
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxshift.report import tables
from jaxshift.shift import curves

PIECES = ['</s>', 'however', ' "a", b', '=1\n']


def token_table(choices):
    """(tuned argmax, class) pairs as the columns that top_tokens reads."""
    ids, classes = zip(*choices, strict=True)
    return pa.table(
        {
            'tuned_argmax_id': pa.array(ids, pa.int32()),
            'shift_class': pa.array(classes).dictionary_encode(),
            'kl_tuned_base': pa.array(np.arange(len(ids)), pa.float32()),
        }
    )


def test_top_tokens_count_the_tuned_model_s_choices():
    choices = [(0, 'shifted')] * 3 + [(1, 'shifted')] * 2 + [(1, 'marginal'), (1, 'unshifted'), (2, 'marginal')]
    rows = tables.top_tokens(token_table([*choices, (3, 'unshifted')]), PIECES, [0])
    assert [(r['token'], r['shifted'], r['marginal'], r['chosen']) for r in rows] == [
        ('</s>', 3, 0, 3), ('however', 2, 1, 4), (' "a", b', 0, 1, 1),
    ]  # fmt: skip
    assert rows[0]['is_end']
    assert [r['percent_of_shifted'] for r in rows] == pytest.approx([60, 40, 0])
    assert rows[0]['percent_of_shifted_without_end'] is None
    assert rows[1]['percent_of_shifted_without_end'] == 100
    assert rows[1]['mean_kl_tuned_base'] == pytest.approx((3 + 4 + 5 + 6) / 4)


def test_top_tokens_of_a_model_that_did_not_move():
    assert tables.top_tokens(token_table([(1, 'unshifted')]), PIECES, [0]) == []


def test_the_final_loss_is_the_mean_of_the_last_tenth():
    rows = [{'step': i, 'loss': float(i)} for i in range(40)]
    assert tables.final_loss(rows) == 37.5
    assert tables.final_loss(rows[:3]) == 2
    assert tables.final_loss([]) is None


@pytest.mark.parametrize(('right', 'trials', 'low', 'high'), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)])
def test_wilson_against_published_values(right, trials, low, high):
    assert tables.wilson(right / trials, trials) == pytest.approx((low, high), abs=1e-4)


def test_truth_gives_intervals_to_shares_of_questions_alone():
    truths = {'full': {'held_out_n': 192, 'held_out_accuracy': 0.5, 'held_out_accuracy_se': 0.036, 'value_n': 80,
                       'kl_at_values': 0.4, 'borrowed_share': None, 'wrong_n': 3}}  # fmt: skip
    rows = {row['name']: row for row in tables.truth(truths)}
    assert set(rows) == {'held_out_accuracy', 'kl_at_values', 'borrowed_share'}
    assert rows['held_out_accuracy']['low'] == pytest.approx(0.43, abs=0.005)
    assert (rows['kl_at_values']['low'], rows['kl_at_values']['n']) == (None, 80)
    assert (rows['borrowed_share']['value'], rows['borrowed_share']['low']) == (None, None)


def test_csv_and_parquet_hold_the_same_rows(tmp_path):
    rows = [{'token': piece, 'n': i, 'share': None if i else 0.5, 'never': None} for i, piece in enumerate(PIECES)]
    tables.save(rows, tmp_path, 'top')
    assert pq.read_table(tmp_path / 'top.parquet').to_pylist() == rows
    with (tmp_path / 'top.csv').open(newline='') as file:
        read = list(csv.DictReader(file))
    assert [row['token'] for row in read] == PIECES
    assert [row['share'] for row in read] == ['0.5', '', '', '']


def test_no_rows_are_an_empty_table(tmp_path):
    tables.save([], tmp_path, 'pairs')
    assert pq.read_table(tmp_path / 'pairs.parquet').num_rows == 0


def test_curve_rows_have_no_nan():
    curve = curves.Curve(
        *(np.array(v) for v in ([0, 1], [0.5, math.nan], [math.nan] * 2, [math.nan] * 2, [1, 0], [1, 0]))
    )
    assert tables.curve_rows(curve, run='a')[1] == {
        'run': 'a', 'at': 1, 'mean': None, 'low': None, 'high': None, 'n': 0, 'prompts': 0,
    }  # fmt: skip


def run_row(run, method, rate, loss, kl):
    return {
        'run': run,
        'method': method,
        'learning_rate': rate,
        'final_loss': loss,
        'kl_tuned_base': kl,
        'unshifted': 90.0,
        'marginal': 7.0,
        'shifted': 3.0,
        'sentence_start': 2 * kl,
        'sentence_rest': kl,
    }


def kl_table(scale, seed, prompts=30):
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            'example_id': pa.array([f'q{i:02d}' for i in range(prompts) for _ in range(5)]),
            'kl_tuned_base': pa.array(scale * rng.gamma(2, 0.5, 5 * prompts), pa.float32()),
        }
    )


def two_runs(scale):
    rows = [run_row('lora', 'lora', 2e-3, 0.4, 1.0), run_row('full', 'full', 2e-3, 0.4, scale)]
    return rows, {'lora': kl_table(1, 0), 'full': kl_table(scale, 1)}


@pytest.mark.parametrize(('scale', 'said'), [(3.0, 'agrees'), (1.0, 'no clear difference'), (0.3, 'contradicts')])
def test_the_sentence_about_a_pair_says_what_the_interval_says(scale, said):
    rows, tokens = two_runs(scale)
    (pair,) = tables.pairs(rows, tokens, 200, 0)
    assert pair['why'] == 'same learning rate and closest final loss'
    ratio = tokens['full']['kl_tuned_base'].to_numpy().mean() / tokens['lora']['kl_tuned_base'].to_numpy().mean()
    assert pair['ratio'] == pytest.approx(ratio, rel=1e-5)
    sentences = tables.findings(rows, [pair], {}, [])
    assert said in sentences[0]
    assert f'{ratio:.2f} times' in sentences[0]


def test_pairs_are_made_at_equal_rate_and_at_the_closest_loss():
    rows = [run_row('lora', 'lora', 2e-3, 0.9, 0.1), run_row('full', 'full', 2e-3, 0.2, 0.5),
            run_row('lora_best', 'lora', 1e-2, 0.41, 0.3), run_row('full_best', 'full', 3e-4, 0.4, 0.3)]  # fmt: skip
    tokens = {row['run']: kl_table(row['kl_tuned_base'], i) for i, row in enumerate(rows)}
    found = tables.pairs(rows, tokens, 200, 0)
    assert [(pair['why'], pair['full_run'], pair['lora_run']) for pair in found] == [
        ('same learning rate', 'full', 'lora'), ('closest final loss', 'full_best', 'lora_best'),
    ]  # fmt: skip
    assert any('depends on how the two are made comparable' in line for line in tables.findings(rows, found, {}, []))


def test_a_single_given_run_has_findings_too():
    row = run_row('tuned', 'given', None, None, 0.2)
    assert tables.pairs([row], {'tuned': kl_table(1, 0)}, 100, 0) == []
    assert 'tuned 90.0 / 7.0 / 3.0' in tables.findings([row], [], {}, [])[0]
