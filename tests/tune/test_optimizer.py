import math

import numpy as np
import pytest

from jaxshift.config import Run
from jaxshift.tune.optimizer import learning_rates


def closed_form(step, steps, peak, warmup, final):
    """Learning rate of a 0-based step: a line that reaches the peak after the warm-up, then half a cosine."""
    if step < warmup:
        return peak / (warmup + 1) + (peak - peak / (warmup + 1)) * step / warmup
    turn = math.pi * (step - warmup) / (steps - warmup)
    return peak * (final + (1 - final) * (1 + math.cos(turn)) / 2)


@pytest.mark.parametrize(('warmup', 'final'), [(0.0, 0.0), (0.1, 0.0), (0.25, 0.02)])
def test_rates_are_those_of_the_closed_form(warmup, final):
    run = Run(learning_rate=3e-4, warmup=warmup, final_fraction=final)
    expected = [closed_form(step, 40, 3e-4, round(40 * warmup), final) for step in range(40)]
    np.testing.assert_allclose(learning_rates(run, 40), expected, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize('warmup', [0.0, 0.3])
def test_every_step_of_a_short_run_learns(warmup):
    for steps in (1, 2, 3):
        rates = learning_rates(Run(learning_rate=1e-3, warmup=warmup), steps)
        assert rates.shape == (steps,)
        assert (rates > 0).all()
        assert rates.max() <= 1e-3 * (1 + 1e-6)


def test_the_peak_is_reached():
    assert learning_rates(Run(learning_rate=2e-4, warmup=0.05), 100).max() == np.float32(2e-4)
