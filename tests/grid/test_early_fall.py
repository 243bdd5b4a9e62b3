"""Where in training the loss falls."""

import pytest

from jaxshift.grid.results import early_fall


def logged(losses):
    return [{'step': step, 'loss': loss} for step, loss in enumerate(losses, start=1)]


def test_a_straight_line_falls_by_half_in_the_first_half():
    assert early_fall(logged(101 - step for step in range(1, 101))) == pytest.approx(0.5)


def test_a_first_batch_that_happens_to_be_easy_says_little():
    line = [100 - step for step in range(100)]
    assert early_fall(logged([60, *line[1:]])) == pytest.approx(0.5, abs=0.03)


def test_a_fall_that_then_stays_flat_lies_in_the_first_half_and_one_noisy_batch_changes_little():
    flat = [*[3.0] * 10, *[1.0] * 90]
    assert early_fall(logged(flat)) == 1
    assert early_fall(logged([*flat[:-1], 1.2])) == pytest.approx(1, abs=0.02)


def test_a_loss_that_does_not_fall_or_was_not_logged_says_nothing():
    assert early_fall(logged([1.0] * 20)) is None
    assert early_fall([]) is None
    assert early_fall(logged([2.0])) is None
