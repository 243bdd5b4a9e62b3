import numpy as np
import pytest

from jaxshift.report import overview


def row(run, same, low, high, greatest=2.0):
    means = {'same_top_1': same, 'same_top_1_low': low, 'same_top_1_high': high}
    means = {name: value if value is None else float(value) for name, value in means.items()}
    return {'run': run, 'kl_tuned_base': (100 - same) / 100, 'kl_tuned_base_greatest': greatest, **means}


def test_the_verdict_is_by_the_end_of_the_interval_that_is_nearer_to_nothing():
    assert overview.verdict([row('a', 90, 88, 92)]) == (
        'Yes in a: another top token than the base’s at 10.0 % [8.00, 12.0] (a) of positions, a mean KL(tuned ‖ base) '
        'of 0.100 nats.'
    )
    assert overview.verdict([row('a', 99.5, 99.2, 99.9)]).startswith('Hardly in a: ')
    assert overview.verdict([row('a', 99.5, 98, 99.9)]).startswith('Perhaps in a: ')
    assert overview.verdict([row('a', 100, 100, 100, 0.0)]).startswith('No in a: ')
    assert overview.verdict([row('a', 90, None, None)]).startswith('Yes in a: another top token than the base’s at 10')
    assert overview.verdict([row('a', 99.9, 99.5, 100)]).endswith(
        'Hardly is below 1 %, perhaps where the interval holds it.'
    )


def test_several_runs_are_told_apart_and_by_the_least_and_the_greatest():
    rows = [row('a', 90, 88, 92), row('b', 80, 78, 82), row('c', 99.9, 99.8, 100)]
    told = overview.verdict(rows)
    assert told.startswith('Yes in a, b; hardly in c: ')
    assert 'at 0.100 % [0.00, 0.200] (c) to 20.0 % [18.0, 22.0] (b) of positions' in told
    assert 'of 0.00100 to 0.200 nats' in told
    assert overview.verdict([row('a', 90, 88, 92), row('b', 80, 78, 82), row('c', 80, 78, 82)]).endswith(
        'of 0.100 to 0.200 nats.'
    )
    assert overview.verdict([row(name, 90, 88, 92) for name in 'abc']).startswith('Yes in all 3 runs: ')


def test_nothing_compared_is_said():
    assert overview.verdict([row('a', 90, 1, 2) | {'same_top_1': None}]) == 'Nothing was compared.'


class Found:
    samples = 2
    base_responses: dict = {}
    responses: dict = {}


def answered(**lengths):
    return {name: {'prompt_token_ids': [1], 'token_ids': [0] * length} for name, length in lengths.items()}


def test_lengths_are_compared_on_prompts_that_both_answered():
    found = Found()
    found.responses = {'a': answered(p=4, q=2, r=100)}
    found.base_responses = answered(p=2, q=1, s=100)
    rows = [{'run': 'a'}]
    overview.add_length_ratios(rows, found, 200, 0)
    assert rows[0] == {'run': 'a', 'length_ratio': 2.0, 'length_ratio_low': 2.0, 'length_ratio_high': 2.0}
    found.base_responses = {}
    overview.add_length_ratios(rows, found, 200, 0)
    assert rows[0]['length_ratio'] is None


def test_the_interval_of_a_length_ratio_is_that_of_resampled_prompts():
    rng = np.random.default_rng(1)
    tuned, base = rng.integers(1, 50, (2, 80))
    found = Found()
    found.responses = {'a': answered(**{f'p{i}': int(n) for i, n in enumerate(tuned)})}
    found.base_responses = answered(**{f'p{i}': int(n) for i, n in enumerate(base)})
    rows = [{'run': 'a'}]
    overview.add_length_ratios(rows, found, 4000, 0)
    drawn = rng.integers(0, 80, (4000, 80))
    low, high = np.quantile(tuned[drawn].sum(axis=1) / base[drawn].sum(axis=1), (0.025, 0.975))
    assert rows[0]['length_ratio'] == pytest.approx(tuned.sum() / base.sum())
    assert rows[0]['length_ratio_low'] == pytest.approx(low, abs=0.02)
    assert rows[0]['length_ratio_high'] == pytest.approx(high, abs=0.02)
