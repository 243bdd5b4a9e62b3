"""Borrowing that was planted is found, and none is found where none was."""

import numpy as np
import pytest

from jaxshift.causes import borrowing, spans, suffixes, words
from jaxshift.causes.draws import Draws
from jaxshift.causes.search import Search

WORDS = 300
LEAST = 4
PLANTED = 12  # tokens of a planted span


def zipf(rng, rows, low=20, high=60):
    shares = 1 / np.arange(1, WORDS + 1)
    return [rng.choice(WORDS, rng.integers(low, high), p=shares / shares.sum()) for _ in range(rows)]


def searched(tuning, null, texts, prompts=None, seed=0):
    draws = Draws(np.arange(len(texts)), len(texts), 200, seed)
    corpora = suffixes.index(tuning), suffixes.index(null)
    return Search(corpora, texts, prompts or [np.zeros(0, int)] * len(texts), LEAST, draws)


def planted(rng, rows, tuning):
    """Texts into which a piece of a row of the tuning data was put, and where it begins."""
    texts, starts = [], []
    for text, row in zip(rows, (tuning[i] for i in rng.permutation(len(tuning))), strict=False):
        begin, at = rng.integers(0, len(row) - PLANTED), rng.integers(0, len(text) + 1)
        texts.append(np.concatenate([text[:at], row[begin : begin + PLANTED], text[at:]]))
        starts.append(int(at))
    return texts, starts


def test_planted_spans_are_called_borrowed_and_hardly_any_other():
    rng = np.random.default_rng(0)
    tuning, null = zipf(rng, 200), zipf(rng, 200)
    texts, starts = planted(rng, zipf(rng, 60), tuning)
    search = searched(tuning, null, texts)
    inside = search.places(search.borrowed)
    before = np.cumsum([0, *map(len, texts)])
    recall = np.mean([inside[before[i] + at : before[i] + at + PLANTED].mean() for i, at in enumerate(starts)])
    own = {tuple(text[at : at + PLANTED].tolist()) for text, at in zip(texts, starts, strict=True)}
    by_chance = [span for span in search.borrowed if not any(_holds(search.phrase(span), piece) for piece in own)]
    assert recall >= 0.95
    assert len(by_chance) <= 0.1 * len(search.borrowed)
    covered = borrowing.overlap(search)['covered']
    assert covered['p'] <= 0.001
    assert covered['difference']['interval'][0] > 0.1


def _holds(long, short):
    return any(long[at : at + len(short)] == short for at in range(len(long) - len(short) + 1))


def test_nothing_is_called_borrowed_where_nothing_was_planted():
    named, p = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        search = searched(zipf(rng, 40), zipf(rng, 40), zipf(rng, 20), seed=seed)
        named.append(bool(search.borrowed))
        p.append(borrowing.overlap(search)['covered']['p'])
    assert np.mean(named) <= 0.05
    assert np.mean(np.array(p) <= 0.05) <= 0.1


def test_a_phrase_that_both_corpora_have_is_not_borrowed():
    rng = np.random.default_rng(2)
    boilerplate = np.arange(30, 50)
    tuning, null = ([np.concatenate([boilerplate, row]) for row in zipf(rng, 60)] for _ in range(2))
    search = searched(tuning, null, [np.concatenate([text, boilerplate]) for text in zipf(rng, 40)])
    assert search.borrowed == []
    assert borrowing.overlap(search)['covered']['p'] > 0.01


def test_what_repeats_the_prompt_is_not_borrowed():
    rng = np.random.default_rng(3)
    tuning, null = zipf(rng, 100), zipf(rng, 100)
    pieces = [row[:PLANTED] for row in tuning[:50]]
    texts = [np.concatenate([piece, text]) for piece, text in zip(pieces, zipf(rng, 50), strict=True)]
    assert len(searched(tuning, null, texts).borrowed) >= 45
    search = searched(tuning, null, texts, prompts=pieces)
    assert search.borrowed == []
    assert borrowing.overlap(search)['covered']['p'] > 0.01


def test_a_phrase_of_many_responses_counts_once():
    rng = np.random.default_rng(4)
    tuning, null = zipf(rng, 60), zipf(rng, 60)
    texts = [np.concatenate([text, tuning[0][:PLANTED]]) for text in zipf(rng, 40)]
    search = searched(tuning, null, texts)
    assert sum(search.phrase(span)[-PLANTED:] == tuple(tuning[0][:PLANTED].tolist()) for span in search.spans[0]) == 40
    assert search.borrowed == []


def test_chance_is_the_share_of_decoys_from_an_excess_on():
    found = spans.chance([0, 1, 1, 1, 1, 5, 5, 7, 9], [0, 1, 1, 2, 8])
    # From 1 on (1 + 4) / 8; from 5 on (1 + 1) / 4; from 7 on (1 + 1) / 2, but 5 is not above it.
    assert found == {1: 5 / 8, 5: 0.5, 7: 0.5, 9: 0.5}
    assert spans.chance([9] * 20, []) == {9: 0.05}
    assert spans.chance([3], [4, 5]) == {3: 1.0}


def test_ngrams_of_every_size_are_counted_in_both_corpora():
    texts = [np.array([1, 2, 3, 9]), np.array([3, 4])]
    found = borrowing.overlap(searched([np.array([1, 2, 3, 4])], [np.array([2, 3, 1])], texts))['ngrams']
    assert [(found[n]['n'], found[n]['tuning']['mean'], found[n]['null']['mean']) for n in '123'] == [
        (6, pytest.approx(5 / 6), pytest.approx(4 / 6)),
        (4, 0.75, 0.25),
        (2, 0.5, 0),
    ]


def test_strata_hold_every_span_once_by_length_and_once_by_rarity():
    rng = np.random.default_rng(5)
    tuning, null = zipf(rng, 100), zipf(rng, 100)
    search = searched(tuning, null, planted(rng, zipf(rng, 30), tuning)[0])
    p = borrowing.overlap(search)['covered']['p']
    found = borrowing.strata(search, p)
    for by in ('length', 'rarity'):
        for name, side in zip(('tuning', 'null'), search.spans, strict=True):
            total = sum(row[name]['mean'] for row in found if row['by'] == by)
            assert total == pytest.approx(1000 * len(side) / len(search.tokens))
    long = next(row for row in found if row['stratum'] == '8 to 15 tokens')
    assert long['tuning']['mean'] > 2
    assert long['null']['mean'] == 0
    assert [row['p'] is None for row in found] == 4 * [False] + 3 * [True]
    assert long['p'] == found[0]['p'] == p == pytest.approx(1 / 1001)


def test_classes_are_counted_inside_and_outside_of_spans():
    rng = np.random.default_rng(6)
    tuning, null = zipf(rng, 100), zipf(rng, 100)
    search = searched(tuning, null, planted(rng, zipf(rng, 40), tuning)[0])
    classes = np.where(search.places(search.borrowed), 2, 0)
    found = borrowing.shifted_spans(search, classes)
    assert found['borrowed']['shifted']['mean'] == 1
    assert found['elsewhere']['shifted']['mean'] == 0
    assert found['borrowed']['n'] == classes.sum() / 2


def test_words_are_those_that_begin_in_a_token_of_the_class():
    pieces = ['The', ' cat', "'s", ' un', 'likely', ', so', '-called']
    begun = words.begun(pieces)
    assert begun == [(0, 'the'), (1, "cat's"), (3, 'unlikely'), (5, 'so-called')]
    search = searched([np.arange(9)], [np.arange(9)], [np.arange(7)])
    classes = np.array([0, 2, 0, 2, 0, 1, 0])
    known = words.vocabulary(["the CAT's"]), words.vocabulary(['so unlikely', 'the'])
    found = borrowing.words(search, begun, classes, known)
    assert {name: (each['n'], each['tuning']['mean'], each['null']['mean']) for name, each in found.items()} == {
        'unshifted': (1, 1, 1),
        'marginal': (1, 0, 0),
        'shifted': (2, 0.5, 0.5),
        'shifted_or_marginal': (3, pytest.approx(1 / 3), pytest.approx(1 / 3)),
    }
