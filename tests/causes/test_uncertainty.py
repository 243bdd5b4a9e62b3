"""Uncertainty as a predictor, against loops over pairs and positions, and where it was planted."""

import numpy as np
import pyarrow as pa
import pytest

from jaxshift.causes import uncertainty

RNG = np.random.default_rng(0)


def by_pairs(score, hit, weight):
    """The AUC by its definition."""
    wins = total = 0.0
    for i in np.flatnonzero(hit):
        for j in np.flatnonzero(~hit):
            pair = weight[i] * weight[j]
            wins += pair * ((score[i] > score[j]) + 0.5 * (score[i] == score[j]))
            total += pair
    return wins / total


@pytest.mark.parametrize('values', [1000, 5])  # few values: many ties
def test_the_auc_is_that_of_all_pairs(values):
    score, hit = RNG.integers(0, values, 80).astype(float), RNG.random(80) < 0.3
    weight = RNG.integers(0, 4, 80).astype(float)
    assert uncertainty.auc(score, hit) == pytest.approx(by_pairs(score, hit, np.ones(80)))
    assert uncertainty.auc(score, hit, weight) == pytest.approx(by_pairs(score, hit, weight))


def test_without_two_kinds_of_positions_there_is_no_auc():
    score = np.arange(4.0)
    assert np.isnan(uncertainty.auc(score, np.zeros(4, bool)))
    found = uncertainty.with_interval(score, np.ones(4, bool), np.array([0, 0, 1, 1]), 2, 10, 0)
    assert found == {'value': None, 'interval': None}


def test_the_first_positions_catch_what_they_hold():
    score, amount = np.array([5.0, 4, 3, 2, 1]), np.array([0.0, 3, 0, 1, 0])
    found = uncertainty.caught(score, amount, (0.2, 0.4, 0.7, 0.8, 1.0))
    np.testing.assert_allclose(found, [0, 0.75, 0.875, 1, 1])


def test_of_equal_scores_any_may_come_first():
    score, amount = np.array([1.0, 1, 1, 0]), np.array([0.0, 6, 0, 2])
    means = []
    for flagged in (1, 2, 3, 4):  # all orders of the three, by hand
        orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        means.append(np.mean([amount[list((*order, 3)[:flagged])].sum() for order in orders]) / 8)
    np.testing.assert_allclose(uncertainty.caught(score, amount, (0.25, 0.5, 0.75, 1)), means)


def records(surest, shifted, prompts=20):
    """Rows of some prompts with the base's greatest probability and the class of each position."""
    size = len(surest)
    return pa.table({
        'example_id': [f'q{i * prompts // size:02d}' for i in range(size)],
        'position': np.arange(size) % (size // prompts),
        'token_id': np.zeros(size, int),
        'base_entropy': -np.log(surest),
        'kl_tuned_base': np.where(shifted, 1.0, 0.0),
        'shift_class': np.where(shifted, 'shifted', 'unshifted'),
        'top_logprobs_base': pa.array([[np.log(p), -9.0] for p in surest], pa.list_(pa.float32())),
    })  # fmt: skip


def test_shifts_planted_where_the_base_is_unsure_are_found_and_others_are_not():
    surest = RNG.uniform(0.05, 1, 2000)
    planted = uncertainty.figures(records(surest, surest < 0.2), 200, 0)
    random = uncertainty.figures(records(surest, RNG.random(2000) < 0.15), 200, 0)
    assert planted['predictors']['base_probability']['auc']['shifted']['value'] == 1
    assert planted['undecided']['caught']['shifted'] == 1
    assert planted['undecided']['precision']['shifted'] == pytest.approx((surest < 0.2).sum() / (surest < 0.5).sum())
    low, high = random['predictors']['base_probability']['auc']['shifted']['interval']
    assert low < 0.5 < high
    at = uncertainty.FLAGGED.index(0.3)
    assert random['predictors']['base_entropy']['caught']['shifted'][at] == pytest.approx(0.3, abs=0.06)


def test_intervals_draw_whole_prompts():
    score = RNG.random(200)
    hit, prompt = RNG.random(200) < 0.4, np.repeat(np.arange(10), 20)
    found = uncertainty.with_interval(score, hit, prompt, 10, 300, 3)
    rng = np.random.default_rng(3)
    drawn = [rng.integers(0, 10, 10) for _ in range(300)]
    values = [
        by_pairs(score[at], hit[at], np.ones(len(at)))
        for at in ([np.concatenate([np.flatnonzero(prompt == p) for p in each]) for each in drawn][:5])
    ]
    whole = [uncertainty.auc(score, hit, np.bincount(each, minlength=10)[prompt]) for each in drawn]
    np.testing.assert_allclose(whole[:5], values)
    np.testing.assert_allclose(found['interval'], np.quantile(whole, [0.025, 0.975]))
