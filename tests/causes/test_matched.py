"""Runs compared where they are alike, on trajectories whose places are known."""

import numpy as np
import pytest

from jaxshift.causes.matched import Place, deepest, ratio, reach

RNG = np.random.default_rng(0)


def trajectory(losses, kls, prompts=30):
    """Points with given losses and mean KLs; prompts differ around the mean."""
    positions = RNG.integers(5, 20, prompts)
    spread = RNG.gamma(4, 0.25, prompts)
    spread *= positions.sum() / (spread * positions).sum()
    points = [{'step': 10 * i, 'loss': loss, 'kl': kl} for i, (loss, kl) in enumerate(zip(losses, kls, strict=True))]
    for point in points[1:]:
        point |= {'kl_sums': (point['kl'] * spread * positions).tolist(), 'positions': positions.tolist()}
    return points


FULL = trajectory([3.0, 1.0, 0.5, 0.1], [0.0, 0.2, 0.4, 0.8])
LORA = trajectory([3.0, 2.0, 1.0, 0.75], [0.0, 0.05, 0.1, 0.2])


def test_a_level_is_reached_between_two_checkpoints():
    place = reach(FULL, 'loss', 0.75)
    assert place == Place(1, 2, 0.5)
    assert place.between(FULL, 'kl') == pytest.approx(0.3)
    assert place.between(FULL, 'step') == pytest.approx(15)
    assert place.between(FULL, 'held_out_accuracy') is None
    assert reach(FULL, 'kl', 0.8) == Place(2, 3, 1.0)
    assert reach(LORA, 'loss', 0.5) is None


def test_a_level_that_is_passed_twice_counts_the_first_time():
    noisy = trajectory([3.0, 1.0, 1.5, 0.5], [0.0, 0.1, 0.2, 0.3])
    assert reach(noisy, 'loss', 1.25) == Place(0, 1, 0.875)


def test_runs_meet_at_the_deepest_level_that_both_reach():
    assert deepest(FULL, LORA, 'loss') == 0.75
    assert deepest(FULL, LORA, 'kl') == 0.2


def test_a_loss_that_runs_away_is_no_depth():
    broken = trajectory([3.0, 2.0, 10.0], [0.0, 0.3, 2.0])
    calm = trajectory([3.0, 1.5, 1.0], [0.0, 0.2, 0.4])
    level = deepest(broken, calm, 'loss')
    assert level == deepest(calm, broken, 'loss') == 2.0
    assert reach(broken, 'loss', level) == Place(0, 1, 1.0)
    assert reach(calm, 'loss', level) == Place(0, 1, pytest.approx(2 / 3))
    assert deepest(broken, calm, 'kl') == 0.4


def test_a_planted_ratio_is_found_at_equal_loss_and_another_at_the_end():
    places = [reach(points, 'loss', 0.75) for points in (FULL, LORA)]
    value, low, high = ratio((FULL, places[0]), (LORA, places[1]), 400, 0)
    assert value == pytest.approx(0.3 / 0.2)
    assert low < value < high
    ends = Place(2, 3, 1.0)
    assert ratio((FULL, ends), (LORA, ends), 10, 0)[0] == pytest.approx(0.8 / 0.2)


def test_runs_that_differ_in_steps_alone_are_equal_at_equal_loss():
    slow = [point | {'step': 7 * point['step']} for point in FULL[:-1]]
    places = [reach(points, 'loss', deepest(slow, FULL, 'loss')) for points in (slow, FULL)]
    value, low, high = ratio((slow, places[0]), (FULL, places[1]), 100, 0)
    assert (value, low, high) == pytest.approx((1, 1, 1))


def test_the_interval_is_that_of_a_loop_over_resampled_prompts():
    place = [reach(points, 'loss', 0.9) for points in (FULL, LORA)]
    _, low, high = ratio((FULL, place[0]), (LORA, place[1]), 50, 5)
    rng, values = np.random.default_rng(5), []
    for drawn in rng.integers(0, 30, (50, 30)):
        sides = []
        for points, at in zip((FULL, LORA), place, strict=True):
            one, other = points[at.first], points[at.second]
            kl = sum((1 - at.part) * one['kl_sums'][i] + at.part * other['kl_sums'][i] for i in drawn)
            sides.append(kl / sum(other['positions'][i] for i in drawn))
        values.append(sides[0] / sides[1])
    np.testing.assert_allclose((low, high), np.quantile(values, [0.025, 0.975]))
