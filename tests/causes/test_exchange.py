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


@pytest.mark.parametrize('common', [1, 64, 80])
def test_p_is_that_of_rows_dealt_anew_and_searched_anew(common):
    rng = np.random.default_rng(3)
    tuning, null, texts = drawn(rng, 9) + [np.arange(6)] * common, drawn(rng, 12) + [np.arange(6)], drawn(rng, 12)
    texts += [tuning[0][:6], np.arange(6)]
    prompt = rng.integers(0, 5, sum(map(len, texts)))
    everything = tuning + null
    observed = covered(tuning, texts, prompt) - covered(null, texts, prompt)
    sizes = [max(0, len(row) - LEAST + 1) for row in everything]
    rng, reached = np.random.default_rng(5), 0
    for _ in range(200):
        first, full = set(), 0
        for i in rng.permutation(len(everything)).tolist():
            full += sizes[i]
            if full - sizes[i] / 2 <= sum(sizes[: len(tuning)]):
                first.add(i)
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


def words(rng, rows, size, kinds=300):
    shares = 1 / np.arange(1, kinds + 1)
    return [rng.choice(kinds, size, p=shares / shares.sum()) for _ in range(rows)]


@pytest.mark.parametrize('sizes', [((12, 100), (60, 20)), ((60, 20), (12, 100)), ((12, 100), (12, 100))])
def test_rows_of_unlike_length_are_significant_as_often_as_chance_says(sizes):
    """Both corpora have the same number of tokens of the same text; only the rows are cut otherwise."""
    rng, values = np.random.default_rng(7), []
    for seed in range(300):
        tuning, null = (words(rng, *each) for each in sizes)
        values.append(found(tuning, null, words(rng, 10, 30), seed=seed, count=99))
    assert np.mean([value <= 0.05 for value in values]) <= 0.08
    assert 0.42 < np.mean(values) < 0.6


def test_a_row_that_repeats_itself_is_one_row():
    """However often: it is in one of the corpora, and by chance in either."""
    rng = np.random.default_rng(6)
    tuning, null = [*drawn(rng, 20), np.full(90, 41)], drawn(rng, 20)
    assert found(tuning, null, [np.full(20, 41)], seed=0) == pytest.approx(0.5, abs=0.2)


def test_what_stands_in_neither_corpus_says_nothing():
    assert found([np.arange(9)], [np.arange(9)], [np.arange(20, 30)], seed=0) == 1
