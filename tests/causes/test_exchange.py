"""The permutation test, against one that searches the exchanged rows anew, and on texts with and without borrowing."""

import numpy as np
import pytest

from jaxshift.causes import exchange, suffixes

LEAST = 3


def drawn(rng, rows, longest=20, words=40):
    shares = 1 / np.arange(1, words + 1)
    return [rng.choice(words, rng.integers(5, longest), p=shares / shares.sum()) for _ in range(rows)]


def found(tuning, null, texts, prompt=None, **settings):
    corpora = suffixes.index(tuning), suffixes.index(null)
    pieces = tuple(suffixes.matches(corpus, texts, LEAST) for corpus in corpora)
    prompt = np.zeros(sum(map(len, texts)), np.int32) if prompt is None else prompt
    return exchange.p_value(corpora, pieces, prompt, LEAST, **settings)


def covered(rows, texts, prompt):
    """How many tokens of the texts lie in pieces of LEAST tokens that some row has."""
    there = {tuple(row[at : at + LEAST]) for row in rows for at in range(len(row) - LEAST + 1)}
    count, before = 0, 0
    for text in texts:
        inside = set()
        for at in range(len(text) - LEAST + 1):
            if tuple(text[at : at + LEAST]) in there and prompt[before + at] < LEAST:
                inside |= set(range(at, at + LEAST))
        count, before = count + len(inside), before + len(text)
    return count


@pytest.mark.parametrize('common', [1, 64])
def test_p_is_that_of_rows_dealt_anew_and_searched_anew(common):
    rng = np.random.default_rng(3)
    tuning, null, texts = drawn(rng, 9) + [np.arange(6)] * common, drawn(rng, 12) + [np.arange(6)], drawn(rng, 12)
    texts += [tuning[0][:6], np.arange(6)]
    prompt = rng.integers(0, 5, sum(map(len, texts)))
    everything = tuning + null
    observed = covered(tuning, texts, prompt) - covered(null, texts, prompt)
    rng, reached = np.random.default_rng(5), 0
    for _ in range(200):
        first = set(rng.permutation(len(everything))[: len(tuning)].tolist())
        parts = [[row for i, row in enumerate(everything) if (i in first) == ours] for ours in (True, False)]
        reached += covered(parts[0], texts, prompt) - covered(parts[1], texts, prompt) >= observed
    assert found(tuning, null, texts, prompt, seed=5, count=200) == pytest.approx((1 + reached) / 201)


def test_texts_that_borrow_have_a_small_p():
    rng = np.random.default_rng(0)
    tuning, null = drawn(rng, 40), drawn(rng, 40)
    texts = [np.concatenate([text, row[:5]]) for text, row in zip(drawn(rng, 20), tuning, strict=False)]
    assert found(tuning, null, texts, seed=0) < 0.01
    assert found(null, tuning, texts, seed=0) > 0.99


def test_texts_that_do_not_borrow_have_a_small_p_as_often_as_chance_says():
    rng = np.random.default_rng(1)
    values = [found(drawn(rng, 20), drawn(rng, 20), drawn(rng, 10), seed=i, count=99) for i in range(200)]
    assert np.mean([value <= 0.05 for value in values]) <= 0.08
    assert 0.4 < np.mean(values) < 0.65


def test_what_stands_in_neither_corpus_says_nothing():
    assert found([np.arange(9)], [np.arange(9)], [np.arange(20, 30)], seed=0) == 1
