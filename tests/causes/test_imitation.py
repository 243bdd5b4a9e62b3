"""Length, form and openings, on texts whose form is plain, against loops, scipy and planted slopes."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from jaxshift.causes import imitation


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('Cats purr.', {'characters': 10, 'words': 2, 'sentences': 1, 'list': 0, 'heading': 0, 'opener': 0}),
        ('However, cats purr. Dogs bark!', {'words': 5, 'sentences': 2, 'opener': 1}),
        ('Sure! Here:\n- one\n- two', {'list': 1, 'opener': 1, 'sentences': 4}),
        ('1. One\n2. Two', {'list': 1, 'sentences': 2}),
        ('- only one item', {'list': 0}),
        ('In 2019. 3 cats', {'list': 0}),
        ('## Cats\nThey purr.', {'heading': 1}),
        ('**Cats**\nThey purr.', {'heading': 1}),
        ('**Cats** purr.', {'heading': 0}),
        ('', {'characters': 0, 'words': 0, 'sentences': 1, 'opener': 0}),
    ],
)
def test_the_form_of_a_text(text, expected):
    found = imitation.form(text)
    assert {name: found[name] for name in expected} == expected


def test_a_profile_is_means_over_texts_with_intervals_over_prompts():
    texts = ['one', 'one two', 'one two three', 'x ' * 6]
    found = imitation.profile(texts, [1, 2, 3, 6], ['a', 'a', 'b', 'c'], 500, 0)
    assert (found['texts'], found['prompts']) == (4, 3)
    assert found['words']['mean'] == found['tokens']['mean'] == 3
    assert found['words']['quantiles'][2] == np.median([1, 2, 3, 6])
    assert found['words']['low'] < 3 < found['words']['high']
    assert found['openings'][0] == ('one', 1)


def test_one_prompt_gives_no_interval_and_no_text_no_profile():
    found = imitation.profile(['one', 'two'], [1, 1], ['a', 'a'], 100, 0)
    assert (found['words']['low'], found['words']['high']) == (None, None)
    assert imitation.profile([], [], [], 100, 0) is None


def test_overlap_is_one_less_the_total_variation_of_the_openings():
    data = ['However, it is so'] * 6 + ['To begin with a'] * 2 + ['Cats and dogs run'] * 2
    tuned = ['however, it is fine'] * 3 + ['Birds fly very high']
    shares = {'however, it is': (0.6, 0.75), 'to begin with': (0.2, 0), 'cats and dogs': (0.2, 0), 'birds': (0, 0.25)}
    found = imitation.compare({'data': data, 'tuned': tuned, 'base': ['It is 3']}, 0)
    assert found['tuned'] == pytest.approx(1 - sum(abs(a - b) for a, b in shares.values()) / 2)
    assert found['base'] == 0


def test_one_long_text_without_blanks_takes_no_memory_for_all():
    texts = ['Cats purr at night', 'x' * 30_000] * 500
    tracemalloc.start()
    found = imitation.compare({'data': texts, 'tuned': texts[:10]}, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found['tuned'] == 1
    assert peak < 10e6  # bytes; 4 x 1,000 x 30,000 where each is as wide as the widest


def test_texts_of_the_data_itself_overlap_as_much_as_the_ceiling_says():
    rng = np.random.default_rng(0)
    data, *many = ([f'word{i} a b' for i in rng.zipf(1.5, n).clip(max=500)] for n in (2000, *[60] * 40))
    found = [imitation.compare({'data': data, 'tuned': tuned}, 0) for tuned in many]
    assert found[0]['ceiling'] < 0.9
    assert np.mean([each['tuned'] for each in found]) == pytest.approx(found[0]['ceiling'], abs=0.03)
    inside = [each['ceiling_low'] <= each['tuned'] <= each['ceiling_high'] for each in found]
    assert np.mean(inside) > 0.85
    assert found[0]['base'] is None


def test_without_data_nothing_overlaps():
    assert imitation.compare({'tuned': ['a b c']}, 0) == dict.fromkeys(
        ('tuned', 'base', 'ceiling', 'ceiling_low', 'ceiling_high')
    )


def test_the_slope_is_that_of_a_regression():
    rng = np.random.default_rng(0)
    x, prompt = rng.normal(7, 1, 200), np.arange(200)
    y = 4 - 0.3 * x + rng.normal(0, 0.5, 200)
    found = imitation.slope(y, x, prompt, False, 1000, 0)
    line = stats.linregress(x, y)
    assert found['slope'] == pytest.approx(line.slope)
    assert found['spread'] == pytest.approx(x.std())
    assert found['low'] == pytest.approx(line.slope - 1.96 * line.stderr, abs=0.02)
    assert found['high'] == pytest.approx(line.slope + 1.96 * line.stderr, abs=0.02)


def test_a_slope_within_prompts_is_not_made_by_hard_questions_that_ask_for_length():
    rng = np.random.default_rng(1)
    prompt = np.repeat(np.arange(80), 4)
    hard = rng.normal(0, 1, 80)[prompt]
    x = 7 + hard + rng.normal(0, 0.5, 320)
    y = 4 - hard + rng.normal(0, 0.3, 320)  # length itself costs nothing
    across, within = (imitation.slope(y, x, prompt, each, 500, 0) for each in (False, True))
    assert across['high'] < -0.5
    assert within['low'] < 0 < within['high']
    means = [[each[prompt == p].mean() for p in range(80)] for each in (x, y)]
    cx, cy = (each - np.array(mean)[prompt] for each, mean in zip((x, y), means, strict=True))
    assert within['slope'] == pytest.approx((cx @ cy) / (cx @ cx))


def test_a_planted_slope_within_prompts_is_found():
    rng = np.random.default_rng(2)
    prompt = np.repeat(np.arange(60), 3)
    x = rng.normal(7, 1, 180)
    y = 5 - 0.5 * x + rng.normal(0, 1, 60)[prompt] + rng.normal(0, 0.2, 180)
    found = imitation.slope(y, x, prompt, True, 500, 0)
    assert found['low'] < -0.5 < found['high'] < -0.3


def test_a_prompt_with_one_response_says_nothing_within():
    found = imitation.slope(np.array([1.0, 2, 3]), np.array([1.0, 2, 9]), np.array([0, 0, 1]), True, 100, 0)
    assert (found['responses'], found['prompts'], found['slope']) == (2, 1, pytest.approx(1))
    assert (found['low'], found['high']) == (None, None)


@pytest.mark.parametrize('lengths', [[], [5.0, 5.0, 5.0]])
def test_there_is_no_line_where_lengths_do_not_differ(lengths):
    size = len(lengths)
    found = imitation.slope(np.arange(size) * 1.0, np.array(lengths), np.arange(size), False, 100, 0)
    assert (found['slope'], found['low'], found['high']) == (None, None, None)
