"""Preferences between two runs, of verdicts in both orders."""

from math import comb

import numpy as np
import pytest

from jaxshift.judge import preferences


def named(*results):
    return [(f'q{i}', result) for i, result in enumerate(results)]


def test_only_consistent_verdicts_make_the_rate():
    found = preferences.figures(named('win', 'win', 'tie', 'loss', 'inconsistent', 'inconsistent', 'unjudged'))
    assert found['win_rate'] == (2 + 0.5) / 4
    assert found['prompts'] == 4
    assert found['counts'] == {'win': 2, 'tie': 1, 'loss': 1, 'inconsistent': 2, 'unjudged': 1}


def test_the_sign_test_counts_wins_and_losses():
    found = preferences.figures(named(*['win'] * 9, *['loss'] * 2, *['tie'] * 5))
    assert found['sign_p'] == pytest.approx(2 * sum(comb(11, k) for k in range(3)) / 2**11)


def test_the_interval_is_that_of_a_share():
    found = preferences.figures(named(*['win'] * 70, *['loss'] * 30), bootstrap=4000)
    assert found['interval'] == pytest.approx(0.7 + np.array([-1.96, 1.96]) * np.sqrt(0.21 / 100), abs=0.015)


def test_samples_of_a_prompt_are_drawn_and_tested_together():
    results = [('a', 'win'), ('a#1', 'win'), ('a#2', 'loss'), ('b', 'loss')]
    found = preferences.figures(results, samples=3)
    assert found['prompts'] == 2
    assert found['sign_p'] == 1
    assert found['win_rate'] == 0.5


def test_without_a_verdict_there_is_no_rate():
    found = preferences.figures(named('inconsistent', 'unjudged'))
    assert (found['win_rate'], found['interval'], found['sign_p']) == (None, None, None)
    assert found['counts']['inconsistent'] == 1
