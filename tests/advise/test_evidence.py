"""What the base foresees, against a loop over words; and the rule."""

import numpy as np
import pytest
from scipy import stats

from jaxshift.advise import evidence, verdict
from jaxshift.advise.evidence import Reading
from jaxshift.advise.words import Word

SHORT = {'share': 0.0, 'asked': 0, 'right': None, 'interval': None}


def reading(rng, foreseen, words=8):
    """A text whose specific words are foreseen with this probability; words of one to three tokens."""
    sizes = rng.integers(1, 4, words)
    stops = np.cumsum(sizes)
    kinds = rng.choice(evidence.KINDS, words).tolist()
    ranks = np.where(rng.random(stops[-1]) < foreseen, 1, 50)
    found = [Word(int(stop - size), int(stop), 'word') for size, stop in zip(sizes, stops, strict=True)]
    return Reading(found, kinds, -rng.gamma(1.0, size=stops[-1]), ranks)


def test_figures_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    readings = [reading(rng, 0.6) for _ in range(30)]
    found = evidence.figures(readings, seed=0, bootstrap=100)
    assert found['texts'] == 30
    for kind in evidence.KINDS:
        tokens, loss, first, words, whole = 0, 0.0, 0, 0, 0
        for each in readings:
            for word, own in zip(each.words, each.kinds, strict=True):
                if own == kind:
                    words += 1
                    whole += all(each.ranks[i] <= 3 for i in range(word.start, word.stop))
                    for i in range(word.start, word.stop):
                        tokens, loss, first = tokens + 1, loss - each.logprobs[i], first + (each.ranks[i] == 1)
        assert (found[kind]['words'], found[kind]['tokens']) == (words, tokens)
        assert found[kind]['loss'] == pytest.approx(loss / tokens)
        assert found[kind]['first_choice'] == pytest.approx(100 * first / tokens)
        low, high = found[kind]['loss_interval']
        assert low < loss / tokens < high
    assert found['specific_words_foreseen'] == pytest.approx(100 * whole / words)


@pytest.mark.parametrize(
    ('data', 'general', 'method'),
    [
        (0.98, 0.98, 'lora'),
        (0.3, 0.3, 'lora'),  # a small base foresees little of any text
        (0.9, 0.4, 'lora'),
        (0.5, 0.98, 'full'),
        (0.03, 0.98, 'pretrain'),
        (0.01, 0.3, 'pretrain'),
    ],
)
def test_the_method_follows_from_how_data_stand_to_general_text(data, general, method):
    rng = np.random.default_rng(0)

    def sides(share):
        """Texts of words of one token, so that the share of tokens is that of words."""
        ranks = [np.where(rng.random(20) < share, 1, 9) for _ in range(60)]
        return [
            Reading([Word(i, i + 1, 'w') for i in range(20)], ['specific'] * 20, np.zeros(20), each) for each in ranks
        ]

    found = evidence.relative(sides(data), sides(general), seed=0, bootstrap=200)
    assert found['share'] == pytest.approx(min(data / general, 1), rel=0.15, abs=0.05)
    low, high = found['interval']
    assert low <= found['share'] <= high
    decided = verdict.decide(found, 1200, SHORT)
    assert decided['method'] == method
    assert not decided['close']


def test_short_answers_decide_where_they_are_half_of_the_data():
    known = {'share': 1.0, 'interval': None}
    asked = {'share': 0.9, 'asked': 40, 'right': 0.05, 'interval': [0.0, 0.1]}
    assert verdict.decide(known, 1200, asked)['method'] == 'pretrain'
    assert verdict.decide(known, 1200, asked | {'share': 0.2})['method'] == 'lora'
    assert verdict.decide(known, 1200, asked | {'asked': 5})['method'] == 'lora'


def test_an_interval_that_holds_a_bound_is_a_close_call():
    close = {'share': 0.82, 'interval': [0.7, 0.9]}
    assert verdict.decide(close, 100, SHORT)['close']
    assert 'a part' in verdict.decide({'share': 0.5, 'interval': [0.45, 0.55]}, 100, SHORT)['because']


def test_data_with_nothing_to_know_need_only_a_manner():
    decided = verdict.decide({'share': None, 'interval': None}, 0, SHORT)
    assert (decided['method'], decided['by']) == ('lora', 'nothing specific')
    nothing = evidence.relative([], [], 0, 10)
    assert nothing == {'share': None, 'interval': None}


def test_easy_answers_do_not_make_up_for_unknown_ones():
    easy, unknown = [(18, 20)] * 30, [(0, 20)] * 30
    general = [(6, 20)] * 30

    def sides(texts):
        return [
            Reading(
                [Word(i, i + 1, 'w') for i in range(n)],
                ['specific'] * n,
                np.zeros(n),
                np.array([1] * h + [9] * (n - h)),
            )
            for h, n in texts
        ]

    found = evidence.relative(sides(easy + unknown), sides(general), seed=0, bootstrap=200)
    # Pooled, 9 of 20 words are foreseen, one and a half times as many as of general text.
    assert verdict.decide(found, 1200, SHORT)['method'] == 'full'
    assert evidence.relative(sides(easy), sides(general), seed=0, bootstrap=200)['share'] > 1


@pytest.mark.parametrize(('n', 'p'), [(1, 0.3), (2, 0.97), (7, 0.5), (20, 0.29), (5, 1.0), (10, 0.1)])
def test_what_a_text_like_general_text_would_count(n, p):
    x = np.arange(n + 1)
    loop = (stats.binom.pmf(x, n, p) * np.minimum(x, n * p)).sum()
    assert evidence.expected_least(np.float64(n), np.float64(p)) == pytest.approx(loop)
