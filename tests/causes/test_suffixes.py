"""The suffix array, against searches that look at every place."""

import numpy as np
import pytest

from jaxshift.causes import spans, suffixes


def drawn(seed, words=3, rows=12, longest=15):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, words, rng.integers(1, longest)) for _ in range(rows)]


def longest_at(rows, text, place, most=10**6):
    """Tokens from `place` on that stand in some row, by trying every length at every place."""
    for size in range(min(len(text) - place, most), 0, -1):
        piece = text[place : place + size].tolist()
        if any(row[at : at + size].tolist() == piece for row in rows for at in range(len(row) - size + 1)):
            return size
    return 0


@pytest.mark.parametrize('words', [1, 2, 5, 100_000])
def test_suffixes_are_sorted(words):
    found = suffixes.index(drawn(0, words))
    tails = [found.text[start:].tolist() for start in found.order]
    assert tails == sorted(tails)
    assert len(tails) == len(found.text)


@pytest.mark.parametrize('most', [0, 3])
@pytest.mark.parametrize('seed', range(8))
def test_matches_are_those_of_a_search_at_every_place(seed, most):
    rows, texts = drawn(seed), drawn(seed + 100, words=4, rows=6)
    found = suffixes.matches(suffixes.index(rows), texts, most)
    expected = [longest_at(rows, text, place, most or 10**6) for text in texts for place in range(len(text))]
    assert found.length.tolist() == expected


def test_a_match_names_every_row_that_has_it_and_no_other():
    rows, texts = drawn(1), drawn(2, rows=4)
    index = suffixes.index(rows)
    found, everything = suffixes.matches(index, texts), np.concatenate(texts)
    for place, size in enumerate(found.length.tolist()):
        piece = everything[place : place + size].tolist()
        holding = [
            number
            for number, row in enumerate(rows)
            if any(row[at : at + size].tolist() == piece for at in range(len(row) - size + 1))
        ]
        assert suffixes.rows_of(index, found.low[place], found.high[place]).tolist() == (holding if size else [])


def test_no_match_crosses_from_one_row_or_text_into_the_next():
    index = suffixes.index([np.array([1, 2]), np.array([3, 4])])
    found = suffixes.matches(index, [np.array([1, 2, 3, 4]), np.array([1]), np.array([2])])
    assert found.length.tolist() == [2, 1, 2, 1, 1, 1]


def test_rows_that_are_the_same_and_empty_ones_are_searched_too():
    same = np.arange(50)
    found = suffixes.matches(suffixes.index([same, np.zeros(0, int), same, same]), [same])
    assert found.length.tolist() == list(range(50, 0, -1))
    assert found.high[0] - found.low[0] == 3


def test_nothing_is_searched_for_nothing():
    assert suffixes.matches(suffixes.index([np.array([1])]), []).length.tolist() == []


@pytest.mark.parametrize('seed', range(8))
def test_maximal_spans_are_those_of_a_search_over_all_pairs_of_ends(seed):
    rows, texts = drawn(seed, words=2), drawn(seed + 50, words=2, rows=5, longest=25)
    length = suffixes.matches(suffixes.index(rows), texts).length
    response = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    found = {(span.start, span.length) for span in spans.maximal(length, response, np.zeros_like(length), 3)}
    expected, before = set(), 0
    for text in texts:
        pieces = {
            (start, stop)
            for start in range(len(text))
            for stop in range(start + 3, len(text) + 1)
            if longest_at(rows, text[start:stop], 0) == stop - start
        }
        expected |= {
            (before + start, stop - start)
            for start, stop in pieces
            if not any((a, b) != (start, stop) and a <= start and stop <= b for a, b in pieces)
        }
        before += len(text)
    assert found == expected
