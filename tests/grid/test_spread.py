import numpy as np
import pytest
from scipy import stats

from jaxshift.grid.spread import geometric, spread


def test_the_interval_is_that_of_students_test():
    values = [0.4, 0.7, 0.55, 0.61, 0.5]
    found, expected = spread(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.mean, found.low, found.high, found.seeds) == pytest.approx((np.mean(values), *expected, 5))


def test_values_that_are_not_there_do_not_count():
    assert spread([0.4, None, 0.6]) == spread([0.4, 0.6])
    assert spread([None]) is None
    assert spread([0.4, None]) == spread([0.4])
    assert (spread([0.4]).low, spread([0.4]).high) == (None, None)


def test_seeds_that_agree_are_not_certain_and_a_share_stays_one():
    found = spread([1.0] * 5, [192] * 5).within(0, 1)
    # Laplace's rule: 193 of 194; Student's quantile of 4 degrees of freedom is 2.776.
    assert found.low == pytest.approx(1 - 2.776445 * (193 / 194 * (1 / 194) / 192 / 5) ** 0.5)
    assert found.high == 1
    assert spread([0.0] * 5, [192] * 5).low < 0 < spread([0.0] * 5, [192] * 5).high


def test_seeds_that_differ_by_more_than_their_questions_say_how_much():
    values = [0.4, 0.7, 0.55, 0.61, 0.5]
    assert spread(values, [192] * 5) == spread(values)


def test_a_ratio_and_its_inverse_agree():
    ratios = [2.0, 4.0, 3.0]
    found, inverse = geometric(ratios), geometric([1 / each for each in ratios])
    assert found.mean == pytest.approx(24 ** (1 / 3))
    assert (1 / inverse.mean, 1 / inverse.high, 1 / inverse.low) == pytest.approx((found.mean, found.low, found.high))


def test_ratios_that_are_not_above_zero_do_not_count():
    assert geometric([2.0, 0.0, None]).seeds == 1


def test_nine_intervals_of_ten_hold_the_truth():
    rng = np.random.default_rng(0)
    inside = [found.low <= 1 <= found.high for found in (spread(rng.normal(1, 0.3, 5)) for _ in range(2000))]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
