"""BM25 against its formula, written out as loops."""

import math

import numpy as np
import pytest

from jaxshift.causes import bm25


def by_formula(rows, query, row):
    """Robertson & Zaragoza (2009), equation 3.15, k1 = 1.2, b = 0.75, with Lucene's idf."""
    mean, score = sum(map(len, rows)) / len(rows), 0.0
    for token in query:
        holding = sum(token in other for other in rows)
        frequency = rows[row].count(token)
        idf = math.log(1 + (len(rows) - holding + 0.5) / (holding + 0.5))
        score += idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(rows[row]) / mean))
    return score


def test_scores_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 9, rng.integers(1, 30)).tolist() for _ in range(20)]
    query = [*rng.integers(0, 9, 12).tolist(), 3, 3, 400]
    asked = np.array([4, 0, 19])
    found = bm25.scores(bm25.weights([np.array(row) for row in rows]), np.array(query), asked)
    assert found == pytest.approx([by_formula(rows, query, row) for row in asked], rel=1e-12)


def test_the_row_that_shares_rare_tokens_is_first():
    rows = [np.array(row) for row in ([1, 1, 1, 2], [1, 2, 7, 8], [1, 2, 3, 4])]
    assert bm25.scores(bm25.weights(rows), np.array([1, 7, 8]), np.arange(3)).argmax() == 1
