"""Agreement of two judges against sklearn-free loops over categories, and cases worked out by hand."""

import numpy as np
import pytest

from jaxshift.judge import agreement
from jaxshift.judge.judgement import Judgement


def kappa_by_categories(a, b):
    """Cohen's (1968) own form: weights of cells of the table of both judges' scores."""
    observed = np.zeros((5, 5))
    for i, j in zip(a, b, strict=True):
        observed[int(i) - 1, int(j) - 1] += 1 / len(a)
    weights = np.array([[(i - j) ** 2 / 16 for j in range(5)] for i in range(5)])
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0))
    return 1 - (weights * observed).sum() / (weights * expected).sum()


@pytest.mark.parametrize('seed', range(3))
def test_kappa_is_that_of_the_weighted_table(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(1, 6, 50).astype(float)
    b = np.clip(a + rng.integers(-1, 2, 50), 1, 5)
    assert agreement.kappa(a, b) == pytest.approx(kappa_by_categories(a, b))


def test_ends_of_the_scale():
    a = np.array([1.0, 2, 4, 5])
    assert agreement.kappa(a, a) == 1
    assert agreement.kappa(a, 6 - a) == pytest.approx(-1)
    assert agreement.kappa(np.full(3, 2.0), np.full(3, 2.0)) is None
    assert agreement.spearman(a, np.full(4, 3.0)) is None


def test_spearman_by_hand():
    """Ranks 1 2.5 2.5 4 and 1 2 3 4: Pearson of them is 4.5 / sqrt(4.5 * 5)."""
    found = agreement.spearman(np.array([1.0, 3, 3, 5]), np.array([1.0, 2, 4, 5]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_only_responses_that_both_have_scored_count():
    one = [
        Judgement(name, 'scored', {'depth': value, 'clarity': None})
        for name, value in zip('abc', (1.0, 3, 5), strict=True)
    ]
    other = [Judgement('a', 'scored', {'depth': 2.0}), Judgement('c', 'scored', {'depth': 4.0}),
             Judgement('b', 'failed', {'depth': None})]  # fmt: skip
    (row,) = agreement.agreement(one, other)
    assert (row['aspect'], row['responses']) == ('depth', 2)
    assert (row['mean_one'], row['mean_other']) == (3, 3)
