import math

import numpy as np
import pytest

from jaxshift.evaluate.forgetting import Evaluation, forgetting, sentence


def model(values, metric='acc', higher=True):
    """An evaluation whose document i of task t has values[i]; None: it was not asked."""
    samples = [
        {'doc_id': i, 'doc_hash': str(i), 'target_hash': '', 'filter': 'none', 'metrics': [metric], metric: value}
        for i, value in enumerate(values)
        if value is not None
    ]
    return Evaluation({'higher_is_better': {'t': {metric: higher}}}, {'t': samples})


def only_row(*models):
    (row,) = forgetting(*models, 2000, 0)['rows']
    return row


def test_the_interval_is_that_of_paired_differences():
    random = np.random.default_rng(0)
    base = random.integers(0, 2, 200)
    tuned = np.where(random.random(200) < 0.2, 0, base)
    row = only_row(model(base.tolist()), model(tuned.tolist()))
    difference = tuned - base
    assert row['difference'] == pytest.approx(difference.mean())
    error = 1.96 * difference.std() / math.sqrt(200)
    np.testing.assert_allclose(row['interval'], [difference.mean() - error, difference.mean() + error], atol=0.01)
    assert (row['n'], row['unpaired'], row['better']) == (200, 0, 'higher')
    assert error < 0.5 * 1.96 * math.sqrt((tuned.var() + base.var()) / 200)  # two samples would say less


def test_only_samples_that_both_have_are_compared_and_the_others_counted():
    row = only_row(model([1, 0, None, math.nan, True]), model([0, 0, 1, 1, None]))
    assert (row['base'], row['tuned'], row['n'], row['unpaired']) == (0.5, 0.0, 2, 3)
    assert 'acc 0.5 to 0, -0.5 [-1, +0] (2 samples, 3 not paired)' in sentence(row)


def test_one_sample_has_no_interval_and_none_no_difference():
    assert only_row(model([1, None]), model([0, 1]))['interval'] is None
    row = only_row(model([1, None]), model([None, 1]))
    assert (row['difference'], row['n'], row['unpaired']) == (None, 0, 2)
    assert sentence(row) == 't acc: nothing to compare (0 samples, 2 not paired)'


@pytest.mark.parametrize(
    ('metric', 'unit', 'difference'),
    [('word_perplexity', 'nats per word', 0.5), ('bits_per_byte', 'bits per byte', 0.5 / math.log(2))],
)
def test_perplexities_are_compared_by_their_logarithms_over_all_words(metric, unit, difference):
    row = only_row(model([(-10, 4), (-2, 2)], metric, False), model([(-12, 4), (-3, 2)], metric, False))
    assert row['difference'] == pytest.approx(difference)
    assert (row['unit'], row['better'], row['n']) == (unit, 'lower', 2)


def test_log_likelihood_that_falls_is_perplexity_that_rises():
    assert only_row(model([-1, -1], 'perplexity', False), model([-2, -2], 'perplexity', False))['difference'] == 1


def test_what_has_no_value_for_each_sample_is_named():
    pairs = model([('text', 'other')], 'bleu')
    assert forgetting(pairs, pairs, 10, 0) == {'rows': [], 'left_out': ['t bleu']}
