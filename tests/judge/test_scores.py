"""Means of scores against loops in float64, and outcomes that are counted and never filled in."""

import numpy as np
import pytest

from jaxshift.errors import InputError
from jaxshift.judge import scores
from jaxshift.judge.judgement import Judgement


def scored(name, outcome='scored', **given):
    return Judgement(name, outcome, given)


JUDGED = [
    scored('a', depth=5.0, clarity=4.0),
    scored('b', 'repaired', depth=2.0, clarity=None),
    scored('c', 'unparsed', depth=None, clarity=None),
    scored('d', 'failed'),
    scored('e', 'refused', depth=None, clarity=None),
    scored('f', depth=None, clarity=1.0),
]


def test_a_mean_is_that_of_given_scores_alone():
    found = scores.means(JUDGED)
    assert found['depth']['mean'] == (5 + 2) / 2
    assert found['clarity']['mean'] == (4 + 1) / 2
    assert (found['depth']['scored'], found['depth']['prompts']) == (2, 2)


def test_every_response_is_in_one_count():
    found = scores.means(JUDGED)
    assert found['depth']['counts'] == {
        'scored': 1, 'repaired': 1, 'unparsed': 1, 'refused': 1, 'failed': 1, 'missing': 0, 'without_score': 1,
    }  # fmt: skip
    assert found['clarity']['counts']['without_score'] == 1
    assert all(sum(item['counts'].values()) == len(JUDGED) for item in found.values())


def test_what_was_not_asked_is_not_counted():
    found = scores.means([scored('a', depth=3.0), scored('b', safety=5.0)])
    assert list(found) == ['depth', 'safety']
    assert sum(found['safety']['counts'].values()) == 1


def test_without_any_score_there_is_no_mean():
    (found,) = scores.means([scored('a', 'unparsed', depth=None)]).values()
    assert found['mean'] is None
    assert found['interval'] is None


def test_intervals_are_those_of_a_bootstrap_over_prompts():
    """Samples of a prompt are drawn together: with equal scores within a prompt they tell no more than one sample."""
    rng = np.random.default_rng(0)
    values = rng.integers(1, 6, 40).astype(float)
    once = [scored(f'q{i}', depth=value) for i, value in enumerate(values)]
    four = [scored(f'q{i}#{k}' if k else f'q{i}', depth=value) for i, value in enumerate(values) for k in range(4)]
    one, many = (scores.means(each, n, 2000)['depth'] for each, n in ((once, 1), (four, 4)))
    assert many['interval'] == pytest.approx(one['interval'])
    assert (many['scored'], many['prompts']) == (160, 40)
    # Taken for prompts of their own, the samples would make the interval half as wide.
    wrong = scores.means(four, 1, 2000)['depth']['interval']
    assert np.ptp(one['interval']) / np.ptp(wrong) == pytest.approx(2, rel=0.15)
    # Against a bootstrap in a plain loop, with draws of its own.
    loop = [float(np.mean([values[rng.integers(40)] for _ in range(40)])) for _ in range(2000)]
    assert one['interval'] == pytest.approx(np.quantile(loop, [0.025, 0.975]), abs=0.06)


def test_the_mean_of_unequal_samples_is_over_responses():
    judged = [scored('q', depth=5.0), scored('q#1', depth=5.0), scored('r', depth=2.0), scored('r#1', 'failed')]
    assert scores.means(judged, 2)['depth']['mean'] == 4


def test_a_response_without_a_judgement_is_missing():
    found = scores.summary([scored('a', depth=3.0)], ['a', 'b', 'c'], {})
    assert found['responses'] == 3
    assert found['aspects']['depth']['counts']['missing'] == 2
    assert found['aspects']['depth']['mean'] == 3


def test_groups_are_judged_by_themselves():
    tags = {'a': {'topic': ['law', 'art']}, 'b': {'topic': ['art']}}
    found = scores.summary([scored('a', depth=5.0), scored('b', depth=1.0), scored('c', depth=3.0)], list('abc'), tags)
    groups = {(item['field'], item['value']): item['aspects']['depth'] for item in found['groups']}
    assert {key: (item['mean'], item['scored']) for key, item in groups.items()} == {
        ('topic', 'art'): (3, 2),
        ('topic', 'law'): (5, 1),
    }


@pytest.mark.parametrize(
    ('judged', 'said'),
    [(['a', 'a'], 'a: judged twice'), (['z'], 'z: judged, but not among the responses')],
)
def test_judgements_of_other_responses_are_refused(judged, said):
    with pytest.raises(InputError, match=said):
        scores.completed([scored(name, depth=1.0) for name in judged], ['a'])
