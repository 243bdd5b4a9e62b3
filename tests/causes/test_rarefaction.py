"""Kinds of two samples at one size, against draws and against exact binomials."""

from math import comb

import numpy as np
import pytest

from jaxshift.causes import rarefaction

SMALL, LARGE = {1: 4, 2: 1, 5: 3}, {1: 30, 2: 2, 3: 8, 4: 1}


def test_expected_kinds_are_those_of_many_draws():
    rng = np.random.default_rng(0)
    population = np.repeat(list(LARGE), list(LARGE.values()))
    drawn = [set(rng.choice(population, 8, replace=False).tolist()) for _ in range(20_000)]
    small = set(SMALL)
    both, alone, other = (np.mean([len(part(each)) for each in drawn]) for part in (
        lambda each: small & each, lambda each: small - each, lambda each: each - small))  # fmt: skip
    found = rarefaction.shared(SMALL, LARGE)
    assert found == (pytest.approx(both, abs=0.02), pytest.approx(alone, abs=0.02), pytest.approx(other, abs=0.02), 8)


def test_they_are_sums_of_binomials_and_either_order_says_the_same():
    there = {kind: 1 - comb(41 - count, 8) / comb(41, 8) for kind, count in LARGE.items()}
    both, alone, other, size = rarefaction.shared(SMALL, LARGE)
    assert both == pytest.approx(there[1] + there[2])
    assert other == pytest.approx(there[3] + there[4])
    assert alone == pytest.approx(3 - both)
    assert rarefaction.shared(LARGE, SMALL) == pytest.approx((both, other, alone, size))


def test_samples_of_one_size_keep_what_was_counted():
    assert rarefaction.shared({1: 3, 2: 2}, {2: 4, 3: 1}) == (1, 1, 1, 5)
    assert rarefaction.shared({}, {2: 4}) == (0, 0, 0, 0)


def test_a_larger_sample_of_the_same_has_no_more_of_its_own():
    rng = np.random.default_rng(1)
    rates = rng.dirichlet(np.full(200, 0.3))
    few, many = ({k: int(n) for k, n in enumerate(rng.multinomial(size, rates)) if n} for size in (60, 3000))
    counted = len(many.keys() - few.keys()), len(few.keys() - many.keys())
    assert counted[0] > 5 * (counted[1] + 1)
    _, few_alone, many_alone, _ = rarefaction.shared(few, many)
    assert few_alone == pytest.approx(many_alone, rel=0.4)
