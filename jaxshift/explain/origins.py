"""The training rows that spans came from, the likeliest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxshift.causes import bm25, suffixes
from jaxshift.causes.search import Search
from jaxshift.causes.spans import Span
from jaxshift.causes.suffixes import Suffixes
from jaxshift.explain.embedding import embed, similarity
from jaxshift.study import Study

MOST_SPANS = 100  # whose rows are ranked, the strongest
MOST_ROWS = 10  # of a span, the best by BM25


class Origin(NamedTuple):
    """A row that holds a span, and its place by either ranking, from 1.

    Attributes:
      span: number of the span among those that were given.
      row: number of the row in the tuning data.
      rows: how many rows hold the span.
      bm25, bm25_rank: of prompt and response against the row, among all rows that hold the span.
      cosine, cosine_rank: of the vectors of both (see `embedding.embed`), among the rows that are kept.
    """

    span: int
    row: int
    rows: int
    bm25: float
    bm25_rank: int
    cosine: float
    cosine_rank: int


def rows_of(whole: Suffixes, phrase: tuple[int, ...]) -> np.ndarray:
    """Numbers of the rows that hold a phrase."""
    found = suffixes.matches(whole, [np.array(phrase)])
    if found.length[0] < len(phrase):
        return np.zeros(0, np.int32)
    return suffixes.rows_of(whole, int(found.low[0]), int(found.high[0]))


def origins(
    study: Study, search: Search, chosen: Sequence[Span], whole: Suffixes, rows: Sequence[np.ndarray]
) -> list[Origin]:
    """Ranks the rows of each span by BM25 and by embedding of instruction and response.

    Args:
      study: whose base, or encoder, embeds.
      search: the responses.
      chosen: spans.
      whole: index of `rows`.
      rows: all tuning data.
    """
    if not chosen:
        return []
    weights = bm25.weights(rows)
    asked = [int(search.response[span.start]) for span in chosen]
    queries = {number: np.concatenate([search.prompts[number], search.texts[number]]) for number in asked}
    candidates, holding = [], []
    for span, number in zip(chosen, asked, strict=True):
        held = rows_of(whole, search.phrase(span))
        score = bm25.scores(weights, queries[number], held)
        best = np.argsort(-score, kind='stable')[:MOST_ROWS]
        candidates.append((held[best], score[best]))
        holding.append(len(held))
    used = sorted({int(row) for held, _ in candidates for row in held})
    vectors = embed(study, [*(rows[row] for row in used), *queries.values()])
    at = {row: number for number, row in enumerate(used)}
    of_query = dict(zip(queries, vectors[len(used) :], strict=True))
    found = []
    for place, ((held, score), number, count) in enumerate(zip(candidates, asked, holding, strict=True)):
        cosine = similarity(of_query[number], vectors[[at[int(row)] for row in held]])
        rank = np.argsort(np.argsort(-cosine, kind='stable'), kind='stable') + 1
        for i, row in enumerate(held):
            found.append(Origin(place, int(row), count, float(score[i]), i + 1, float(cosine[i]), int(rank[i])))
    return found
