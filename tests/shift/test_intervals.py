import time

import numpy as np
import pytest

from jaxshift.shift import intervals


def test_intervals_are_the_quantiles_of_resampled_prompts():
    rng = np.random.default_rng(3)
    sums, counts = rng.random((6, 2)), rng.integers(1, 9, (6, 2)).astype(float)
    low, high = intervals.ratio_intervals(sums, counts, 300, seed=5)
    draws = np.concatenate(list(intervals.resamples(6, 300, seed=5)))
    assert draws.shape == (300, 6)
    assert (draws.sum(axis=1) == 6).all()
    for m in range(2):
        ratios = []
        for draw in draws:
            ratios.append(sum(draw[p] * sums[p, m] for p in range(6)) / sum(draw[p] * counts[p, m] for p in range(6)))
        np.testing.assert_allclose([low[m], high[m]], np.quantile(ratios, [0.025, 0.975]), rtol=1e-9)


def test_blocks_do_not_change_the_draws(monkeypatch):
    whole = np.concatenate(list(intervals.resamples(7, 20, seed=1)))
    monkeypatch.setattr(intervals, '_BLOCK', 14)
    blocks = list(intervals.resamples(7, 20, seed=1))
    assert len(blocks) == 10
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_intervals_over_prompts_cover_the_truth_where_those_over_positions_do_not():
    """Positions share their prompt's level, lengths vary; the true pooled mean is 1."""
    rng = np.random.default_rng(0)
    prompts, trials, covered, naive = 40, 400, 0, 0
    for trial in range(trials):
        lengths = rng.integers(5, 60, prompts)
        level = rng.gamma(4.0, 0.25, prompts)
        values = np.repeat(level, lengths) * rng.gamma(2.0, 0.5, lengths.sum())
        sums = np.add.reduceat(values, np.r_[0, np.cumsum(lengths)[:-1]])[:, None]
        low, high = intervals.ratio_intervals(sums, lengths[:, None].astype(float), 300, seed=trial)
        covered += bool(low[0] <= 1 <= high[0])
        spread = 1.96 * values.std() / np.sqrt(len(values))
        naive += bool(abs(values.mean() - 1) <= spread)
    assert 0.90 <= covered / trials <= 0.98
    assert naive / trials < 0.75


def test_a_thousand_resamples_of_a_thousand_prompts_are_quick():
    sums = np.random.default_rng(0).random((1000, 20))
    begin = time.process_time()
    intervals.ratio_intervals(sums, np.ones_like(sums), 1000, 0)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ('right', 'trials', 'low', 'high'), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (20, 20, 0.8389, 1.0)]
)  # fmt: skip
def test_wilson_against_published_values(right, trials, low, high):
    assert intervals.wilson(right / trials, trials) == pytest.approx((low, high), abs=1e-4)
