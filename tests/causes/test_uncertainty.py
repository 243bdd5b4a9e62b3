"""Uncertainty as a predictor, against loops over pairs and positions, and where it was planted."""

import numpy as np
import pyarrow as pa
import pytest

from jaxshift.causes import uncertainty
from jaxshift.causes.draws import Draws

RNG = np.random.default_rng(0)


def grouped(score, amount):
    """How many positions have each score, from the lowest on, and what they carry."""
    order, starts = uncertainty.ties(score)
    return np.add.reduceat(np.stack([np.ones(len(score)), amount])[:, order], starts, axis=1)


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
    order, starts = uncertainty.ties(score)
    weighted = np.add.reduceat(np.stack([weight, weight * hit])[:, order], starts, axis=1)
    assert uncertainty.auc(*grouped(score, hit)) == pytest.approx(by_pairs(score, hit, np.ones(80)))
    assert uncertainty.auc(*weighted) == pytest.approx(by_pairs(score, hit, weight))


def test_without_two_kinds_of_positions_there_is_no_auc():
    score = np.arange(4.0)
    assert np.isnan(uncertainty.auc(*grouped(score, np.zeros(4, bool))))
    hits = dict.fromkeys(('shifted', 'moved'), np.zeros(4, bool))
    found = uncertainty.predictor(score, hits, Draws(np.array([0, 0, 1, 1]), 2, 10, 0))
    nothing = {'value': None, 'interval': None}
    assert found['auc']['shifted'] == nothing
    assert found['caught']['shifted'] == [nothing] * len(uncertainty.FLAGGED)


def test_the_first_positions_catch_what_they_hold():
    score, amount = np.array([5.0, 4, 3, 2, 1]), np.array([0.0, 3, 0, 1, 0])
    found = uncertainty.caught(*grouped(score, amount), (0.2, 0.4, 0.7, 0.8, 1.0))
    np.testing.assert_allclose(found, [0, 0.75, 0.875, 1, 1])


def test_of_equal_scores_any_may_come_first():
    score, amount = np.array([1.0, 1, 1, 0]), np.array([0.0, 6, 0, 2])
    means = []
    for flagged in (1, 2, 3, 4):  # all orders of the three, by hand
        orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        means.append(np.mean([amount[list((*order, 3)[:flagged])].sum() for order in orders]) / 8)
    np.testing.assert_allclose(uncertainty.caught(*grouped(score, amount), (0.25, 0.5, 0.75, 1)), means)


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
    assert planted['undecided']['caught']['shifted']['value'] == 1
    assert planted['undecided']['precision']['shifted']['value'] == pytest.approx(
        (surest < 0.2).sum() / (surest < 0.5).sum()
    )
    low, high = random['predictors']['base_probability']['auc']['shifted']['interval']
    assert low < 0.5 < high
    at = uncertainty.FLAGGED.index(0.3)
    assert random['predictors']['base_entropy']['caught']['shifted'][at]['value'] == pytest.approx(0.3, abs=0.06)


def resampled(prompt, count, seed):
    """The positions of each resample, a prompt's as often as it was drawn."""
    rng, prompts = np.random.default_rng(seed), prompt.max() + 1
    drawn = [rng.integers(0, prompts, prompts) for _ in range(count)]
    return [np.concatenate([np.flatnonzero(prompt == p) for p in each]) for each in drawn]


def test_intervals_draw_whole_prompts():
    score = RNG.random(200)
    hit, prompt = RNG.random(200) < 0.4, np.repeat(np.arange(10), 20)
    found = uncertainty.predictor(score, {'shifted': hit, 'moved': hit}, Draws(prompt, 10, 50, 3))['auc']['shifted']
    areas = [by_pairs(score[at], hit[at], np.ones(len(at))) for at in resampled(prompt, 50, 3)]
    np.testing.assert_allclose(found['interval'], np.quantile(areas, [0.025, 0.975]))


def test_each_resample_flags_its_own_positions():
    score, amount = RNG.integers(0, 9, 200).astype(float), RNG.random(200)
    hit, prompt = RNG.random(200) < 0.4, np.repeat(np.arange(10), 20)
    amounts = {'shifted': hit, 'moved': hit, 'kl': amount}
    found = uncertainty.predictor(score, amounts, Draws(prompt, 10, 50, 3))['caught']['kl']
    curves = [uncertainty.caught(*grouped(score[at], amount[at])) for at in resampled(prompt, 50, 3)]
    bounds = np.quantile(curves, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose([each['interval'] for each in found], bounds)


def test_of_undecided_positions_share_and_precision_have_intervals_over_prompts():
    surest, shifted = RNG.uniform(0, 1, 400), RNG.random(400) < 0.2
    found = uncertainty.figures(records(surest, shifted), 50, 3)['undecided']
    unsure, all_of = surest < 0.5, resampled(np.repeat(np.arange(20), 20), 50, 3)
    shares = [unsure[at].mean() for at in all_of]
    precision = [shifted[at][unsure[at]].mean() for at in all_of]
    np.testing.assert_allclose(found['share']['interval'], np.quantile(shares, [0.025, 0.975]))
    np.testing.assert_allclose(found['precision']['shifted']['interval'], np.quantile(precision, [0.025, 0.975]))


def test_one_prompt_has_no_interval_and_no_record_no_figure():
    alone = uncertainty.figures(records(RNG.uniform(0, 1, 40), RNG.random(40) < 0.5, 1), 50, 0)
    assert alone['predictors']['base_entropy']['auc']['shifted']['value'] is not None
    assert alone['predictors']['base_entropy']['auc']['shifted']['interval'] is None
    none = uncertainty.figures(records(np.ones(20), np.zeros(20, bool)).slice(0, 0), 50, 0)
    assert none['undecided']['share'] == {'value': None, 'interval': None}
