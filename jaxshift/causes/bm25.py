"""BM25 over rows of token ids (Robertson & Zaragoza 2009), with the inverse document frequency that Lucene takes.

    score(q, d) = sum over t in q of idf(t) * f(t, d) * (K1 + 1) / (f(t, d) + K1 * (1 - B + B * |d| / mean |d|))
    idf(t) = ln(1 + (N - n(t) + 1/2) / (n(t) + 1/2))

f(t, d) counts t in d, n(t) the rows that hold t, N all rows. A token counts as often as the query holds it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

K1, B = 1.2, 0.75


def weights(rows: Sequence[np.ndarray]) -> sparse.csr_array:
    """What each token adds to the score of each row: [rows, greatest id + 1]."""
    lengths = np.array([len(row) for row in rows], np.float64)
    tokens = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
    width = int(tokens.max(initial=0)) + 1
    pairs, counts = np.unique(np.repeat(np.arange(len(rows)), lengths.astype(int)) * width + tokens, return_counts=True)
    row, token = np.divmod(pairs, width)
    holding = np.bincount(token, minlength=width)
    idf = np.log1p((len(rows) - holding + 0.5) / (holding + 0.5))
    norm = K1 * (1 - B + B * lengths / max(lengths.mean(), 1) if len(rows) else lengths)
    values = idf[token] * counts * (K1 + 1) / (counts + norm[row])
    return sparse.csr_array((values, (row, token)), (len(rows), width))


def scores(found: sparse.csr_array, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Scores of some rows, float64 [len(rows)], for a query of token ids."""
    width = found.shape[1]
    counts = np.bincount(query[query < width], minlength=width)
    return found[rows] @ counts.astype(np.float64)
