import csv
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import kl_table, run_row

from jaxshift.report import tables
from jaxshift.shift import curves, summary

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


def test_an_earlier_checkpoint_has_the_training_figures_of_its_own_step(workdir):
    (item,) = summary.read(workdir / 'runs/lora/summary.json')
    metrics = [{'step': step, 'loss': float(step)} for step in range(10, 201, 10)]
    objects = [item | {'step': step} for step in (200, 75)]
    rows = tables.overview({'lora': objects}, {'lora': metrics}, {}, 'all')
    assert [(row['steps'], row['final_loss']) for row in rows] == [(200, 195.0), (75, 70.0)]


def test_csv_and_parquet_hold_the_same_rows(tmp_path):
    rows = [{'token': piece, 'n': i, 'share': None if i else 0.5, 'never': None} for i, piece in enumerate(PIECES)]
    tables.save(rows, tmp_path, 'top')
    assert pq.read_table(tmp_path / 'top.parquet').to_pylist() == rows
    with (tmp_path / 'top.csv').open(newline='') as file:
        read = list(csv.DictReader(file))
    assert [row['token'] for row in read] == [*PIECES[:3], "'=1\n"]  # a spreadsheet would reckon it
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


def test_pairs_are_made_at_equal_rate_and_at_the_closest_loss():
    rows = [run_row('lora', 'lora', 2e-3, 0.9, 0.1), run_row('full', 'full', 2e-3, 0.2, 0.5),
            run_row('lora_best', 'lora', 1e-2, 0.41, 0.3), run_row('full_best', 'full', 3e-4, 0.4, 0.3)]  # fmt: skip
    tokens = {row['run']: kl_table(row['kl_tuned_base'], i) for i, row in enumerate(rows)}
    found = tables.pairs(rows, tokens, 200, 0)
    assert [(pair['why'], pair['full_run'], pair['lora_run']) for pair in found] == [
        ('same learning rate', 'full', 'lora'), ('closest final loss', 'full_best', 'lora_best'),
    ]  # fmt: skip
