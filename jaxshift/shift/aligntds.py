"""The arithmetic of AlignTDS, code of Lin et al. (arXiv 2312.01552) that the paper borrowed, beside the exact measures.

Of both models it keeps the 30 likeliest tokens, renormalised over these 30, and matches them by their decoded text. Its
"KL" sums over the tokens that both lists hold, so it is no divergence and can be negative. Ranks start at 0; one that
is not found is `MOST`. Lists are those of the base (first) and of the tuned model (second).
"""

from __future__ import annotations

import numpy as np

KEPT = 30  # tokens of a list
MOST = 50  # the rank of a token that the base's list lacks
SHORT = 10  # tokens that the measures ending in _10 look at
COLUMNS = (
    'aligntds_kl', 'aligntds_kl_10', 'aligntds_jaccard', 'aligntds_jaccard_10', 'aligntds_ndcg',
    'aligntds_weighted_sum', 'aligntds_weighted_sum_10', 'aligntds_top_rank', 'aligntds_top_probability',
)  # fmt: skip


def text_ids(pieces: list[str]) -> np.ndarray:
    """Token id -> a number that tokens of the same decoded text share: int [V]."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(piece, len(numbers)) for piece in pieces])


def columns(
    base_ids: np.ndarray,
    base_logprobs: np.ndarray,
    tuned_ids: np.ndarray,
    tuned_logprobs: np.ndarray,
    texts: np.ndarray,
) -> dict[str, np.ndarray]:
    """The measures under the names of `COLUMNS`, float64 [N].

    Args:
      base_ids, tuned_ids: [N, k] likeliest tokens, best first; k is `KEPT`, or the vocabulary where that is smaller.
      base_logprobs, tuned_logprobs: [N, k], up to a constant a row.
      texts: of `text_ids`.
    """
    base, tuned = _renormalised(base_logprobs), _renormalised(tuned_logprobs)
    base_texts, tuned_texts = texts[base_ids], texts[tuned_ids]
    new = _first(base_texts), _first(tuned_texts)
    # both[n, i, j]: token i of the base's list and token j of the tuned one's have one text, and none before them has.
    both = (base_texts[:, :, None] == tuned_texts[:, None, :]) & new[0][:, :, None] & new[1][:, None, :]
    products = base[:, :, None] * tuned[:, None, :]
    with np.errstate(divide='ignore', invalid='ignore'):  # a probability that has vanished is passed over, as there
        terms = np.where(products > 0, base[:, :, None] * np.log(base[:, :, None] / tuned[:, None, :]), 0)
    found: dict[str, np.ndarray] = {}
    for name, length in (('', base.shape[1]), ('_10', SHORT)):
        shared = both[:, :length, :length]
        union = sum(each[:, :length].sum(1) for each in new) - shared.sum((1, 2))
        found |= {
            f'aligntds_kl{name}': np.where(shared, terms[:, :length, :length], 0).sum((1, 2)),
            f'aligntds_jaccard{name}': shared.sum((1, 2)) / union,
            f'aligntds_weighted_sum{name}': np.where(shared, products[:, :length, :length], 0).sum((1, 2)),
        }
    # nDCG alone matches by id, and its relevance of a token is itself a discount.
    discount = 1 / np.log2(np.arange(base.shape[1]) + 2)
    gain = np.where(base_ids[:, :, None] == tuned_ids[:, None, :], discount[:, None] * discount, 0).sum((1, 2))
    top = base_texts == tuned_texts[:, :1]
    at = top.argmax(1)
    found |= {
        'aligntds_ndcg': gain / (discount**2).sum(),
        'aligntds_top_rank': np.where(top.any(1), at, MOST).astype(np.float64),
        'aligntds_top_probability': np.where(top.any(1), base[np.arange(len(base)), at], 0),
    }
    return {name: found[name] for name in COLUMNS}


def _renormalised(logprobs: np.ndarray) -> np.ndarray:
    weight = np.exp(logprobs.astype(np.float64) - logprobs[:, :1])
    return weight / weight.sum(1, keepdims=True)


def _first(texts: np.ndarray) -> np.ndarray:
    """Where a text stands for the first time in its row."""
    same = texts[:, :, None] == texts[:, None, :]
    return same.argmax(2) == np.arange(texts.shape[1])
