"""Paired comparisons against enumerations, loops in float64 and planted effects of length."""

import itertools
import math

import numpy as np
import pytest

from jaxshift.judge import comparison
from jaxshift.judge.judgement import Judgement


def judged(values):
    return [Judgement(name, 'scored', {'depth': value}) for name, value in values.items()]


def answered(lengths, prompt=(1, 2)):
    return {name: {'prompt_token_ids': list(prompt), 'token_ids': [0] * n} for name, n in lengths.items()}


def p_by_enumeration(differences):
    """Signed ranks with zeros ranked and then left out (Pratt), over all sign changes."""
    size = np.abs(differences)
    ranks = np.array([(size < each).sum() + ((size == each).sum() + 1) / 2 for each in size])
    ranks = ranks[size > 0]
    middle = ranks.sum() / 2
    far = abs(ranks[differences[size > 0] > 0].sum() - middle)
    sums = [
        sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return np.mean([abs(each - middle) >= far - 1e-9 for each in sums])


@pytest.mark.parametrize('seed', range(4))
def test_wilcoxon_of_few_prompts_is_the_enumeration_with_ties_and_zeros(seed):
    differences = np.random.default_rng(seed).integers(-2, 4, 11).astype(float)
    assert comparison.wilcoxon(differences) == pytest.approx(p_by_enumeration(differences))


def test_wilcoxon_of_many_prompts_comes_near_random_sign_changes():
    rng = np.random.default_rng(0)
    differences = rng.integers(-3, 4, 60) + (rng.random(60) < 0.3)
    size = np.abs(differences)
    ranks = np.array([(size < each).sum() + ((size == each).sum() + 1) / 2 for each in size]) * (size > 0)
    far = abs((ranks * np.sign(differences)).sum())
    drawn = [abs((ranks * rng.choice((-1, 1), 60)).sum()) for _ in range(20000)]
    assert comparison.wilcoxon(differences.astype(float)) == pytest.approx(np.mean(np.array(drawn) >= far), abs=0.01)


def test_equal_scores_say_nothing():
    assert comparison.wilcoxon(np.zeros(5)) == 1


def test_holm_by_hand():
    """Sorted .005 .01 .03 .04 times 4 3 2 1 are .02 .03 .06 .04; the last may not fall below the one before."""
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.6, 0.9]) == [1.0, 1.0]
    assert comparison.holm([]) == []


def test_differences_are_of_prompts_judged_for_both():
    one = judged({'a': 5.0, 'b': 4.0, 'c': 1.0})
    other = [*judged({'a': 3.0, 'b': 3.0, 'd': 5.0}), Judgement('c', 'unparsed', {'depth': None})]
    lengths = dict.fromkeys('abcd', 9)
    (row,) = comparison.compare({'x': one, 'y': other}, {'x': answered(lengths), 'y': answered(lengths)})
    assert (row['first'], row['second'], row['aspect']) == ('x', 'y', 'depth')
    assert row['difference'] == 1.5
    assert (row['prompts'], row['only_first'], row['only_second']) == (2, 1, 1)


def test_the_same_id_of_another_prompt_is_no_pair():
    values = judged({'a': 5.0})
    responses = {'x': answered({'a': 3}, (1, 2)), 'y': answered({'a': 3}, (7,))}
    assert comparison.compare({'x': values, 'y': values}, responses) == []


def test_samples_are_averaged_before_they_are_paired():
    one = judged({'a': 5.0, 'a#1': 3.0, 'b': 1.0})
    other = judged({'a': 2.0, 'b': 1.0, 'b#1': 3.0})
    lengths = dict.fromkeys(('a', 'a#1', 'b', 'b#1'), 9)
    (row,) = comparison.compare({'x': one, 'y': other}, {'x': answered(lengths), 'y': answered(lengths)}, samples=2)
    assert row['prompts'] == 2
    assert row['difference'] == ((4 - 2) + (1 - 2)) / 2


def test_paired_intervals_are_narrower_than_the_spread_of_prompts():
    """Prompts differ by far more than the runs do, which a paired interval does not see."""
    rng = np.random.default_rng(0)
    hard = {f'q{i}': float(rng.integers(1, 5)) for i in range(60)}
    one = judged({name: value + (rng.random() < 0.5) for name, value in hard.items()})
    lengths = dict.fromkeys(hard, 9)
    (row,) = comparison.compare({'x': one, 'y': judged(hard)}, {'x': answered(lengths), 'y': answered(lengths)})
    differences = np.array([each.scores['depth'] - hard[each.example_id] for each in one])
    spread = 1.96 * differences.std() / math.sqrt(60)
    assert row['difference_high'] - row['difference_low'] == pytest.approx(2 * spread, rel=0.1)
    assert row['difference_low'] > 0.3


def test_the_difference_at_equal_length_is_the_line_of_a_plain_loop():
    rng = np.random.default_rng(0)
    length, score = rng.normal(0.5, 1, 80), rng.normal(0, 1, 80)
    x, y = float(np.mean(length)), float(np.mean(score))
    slope = sum((a - x) * (b - y) for a, b in zip(length, score, strict=True)) / sum((a - x) ** 2 for a in length)
    found = comparison.at_equal_length(score, length, 200, 0)
    assert found['slope'] == pytest.approx(slope)
    assert found['at_equal_length'] == pytest.approx(y - slope * x)
    assert not found['extrapolated']


def test_a_judge_that_pays_for_length_alone_gives_nothing_at_equal_length():
    """One run is twice as long; its scores are those of its length, as planted: 0.7 a unit of log length."""
    rng = np.random.default_rng(1)
    short = {f'q{i}': int(n) for i, n in enumerate(rng.integers(20, 200, 200))}
    long = {name: int(n * rng.uniform(0.8, 3.5)) for name, n in short.items()}
    runs = {
        run: judged({name: 0.7 * math.log1p(n) + rng.normal(0, 0.2) for name, n in lengths.items()})
        for run, lengths in (('long', long), ('short', short))
    }
    (row,) = comparison.compare(runs, {'long': answered(long), 'short': answered(short)})
    assert row['difference_low'] > 0.3
    assert row['at_equal_length_low'] < 0 < row['at_equal_length_high']
    assert row['slope'] == pytest.approx(0.7, abs=0.1)


def test_the_interval_at_equal_length_covers_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        length = rng.normal(0.6, 0.8, 60)
        found = comparison.at_equal_length(0.4 + 0.5 * length + rng.normal(0, 1, 60), length, 300, 0)
        covered += found['at_equal_length_low'] <= 0.4 <= found['at_equal_length_high']
    assert 0.90 <= covered / 200 <= 0.985


def test_where_all_lengths_are_one_there_is_no_line():
    found = comparison.at_equal_length(np.arange(5.0), np.full(5, 0.3), 50, 0)
    assert found['at_equal_length'] is None
    assert found['slope'] is None
    assert found['extrapolated']


def test_holm_is_over_all_aspects_and_pairs():
    rng = np.random.default_rng(3)
    aspects = ('clarity', 'depth')
    runs = {
        run: [Judgement(f'q{i}', 'scored', {a: float(rng.integers(1, 6)) for a in aspects}) for i in range(12)]
        for run in 'xyz'
    }
    lengths = answered({f'q{i}': 5 for i in range(12)})
    rows = comparison.compare(runs, dict.fromkeys(runs, lengths))
    assert len(rows) == 6
    least = min(rows, key=lambda row: row['wilcoxon_p'])
    assert least['holm_p'] == pytest.approx(min(1, 6 * least['wilcoxon_p']))
    assert all(row['holm_p'] >= row['wilcoxon_p'] for row in rows)
