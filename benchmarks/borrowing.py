"""Speed of the search for borrowed spans at the size of Alpaca, and what it finds of spans that were planted.

    python -m benchmarks.borrowing [--rows=50000] [--responses=1000] [--studies=200]

Tokens follow Zipf's law over 50,000 ids; lengths of rows are log-normal with a mean of about 100 tokens, as in Alpaca.
Half of the responses hold a span of 8 to 30 tokens of a random row. Prints one JSON object:

    index_seconds, search_seconds   the suffix array of the rows; all responses looked up in it; by the clock, and
                                    as *_processor_seconds of the one thread that they run in
    recall                          planted tokens in spans that are called borrowed
    false_share                     spans called borrowed that no planted span explains, of all that are called so
    null_p, null_called             small studies without any planted span: the share with p <= 0.05, and the share in
                                    which a span is called borrowed

Exit code 1 where indexing takes more than 60 s of the processor or searching more than 10 s, recall is below 0.95, or
one of the three shares of what is false is above 0.05 (of the shares of studies: by two standard errors).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time

import numpy as np

from jaxshift.causes import borrowing, suffixes
from jaxshift.causes.draws import Draws
from jaxshift.causes.search import Search

VOCABULARY = 50_000
LEAST = 5  # tokens of the shortest span
PLANTED = 8, 30
AT_MOST = {'index_processor_seconds': 60, 'search_processor_seconds': 10, 'false_share': 0.05}
RECALL = 0.95  # at least


def zipf(rng: np.random.Generator, lengths: np.ndarray, vocabulary: int = VOCABULARY) -> list[np.ndarray]:
    """Rows of these lengths."""
    bounds = np.cumsum(1 / np.arange(1, vocabulary + 1))
    tokens = np.searchsorted(bounds, rng.random(int(lengths.sum())) * bounds[-1])
    return np.split(tokens, np.cumsum(lengths)[:-1])


def rows_of(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    return zipf(rng, np.clip(rng.lognormal(4.4, 0.6, count), 10, 1024).astype(int))


def planted(
    rng: np.random.Generator, responses: list[np.ndarray], rows: list[np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Responses of which every second holds a span of a row, and the places of these spans among all tokens."""
    texts, inside = [], []
    for number, response in enumerate(responses):
        row = rows[int(rng.integers(len(rows)))]
        size = min(int(rng.integers(PLANTED[0], PLANTED[1] + 1)), len(row)) * (number % 2)
        begin, at = int(rng.integers(len(row) - size + 1)), int(rng.integers(len(response) + 1))
        texts.append(np.concatenate([response[:at], row[begin : begin + size], response[at:]]))
        marks = np.zeros(len(texts[-1]), bool)
        marks[at : at + size] = True
        inside.append(marks)
    return texts, np.concatenate(inside)


def searched(corpora: tuple[suffixes.Suffixes, suffixes.Suffixes], texts: list[np.ndarray], seed: int) -> Search:
    prompts = [np.zeros(0, np.int64)] * len(texts)
    return Search(corpora, texts, prompts, LEAST, Draws(np.arange(len(texts)), len(texts), 100, seed))


def large(rows: int, responses: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    tuning, null = rows_of(rng, rows), rows_of(rng, rows)
    texts, inside = planted(rng, zipf(rng, np.full(responses, 250)), tuning)
    clocks = [(time.perf_counter(), time.process_time())]
    first = suffixes.index(tuning)
    clocks.append((time.perf_counter(), time.process_time()))
    suffixes.matches(first, texts)
    clocks.append((time.perf_counter(), time.process_time()))
    (index, index_processor), (look_up, look_up_processor) = np.diff(clocks, axis=0).tolist()
    search = searched((first, suffixes.index(null)), texts, 0)
    called = search.borrowed
    false = [not inside[span.start : span.start + span.length].any() for span in called]
    return {
        'tokens': sum(map(len, tuning)),
        'index_seconds': index,
        'index_processor_seconds': index_processor,
        'search_seconds': look_up,
        'search_processor_seconds': look_up_processor,
        'recall': float(search.places(called)[inside].mean()),
        'false_share': float(np.mean(false)) if called else 0.0,
    }


def small(studies: int) -> dict[str, float]:
    """Studies with nothing planted, of few words, so that chance spans are many."""
    p, called = [], []
    for seed in range(studies):
        rng = np.random.default_rng(1 + seed)
        tuning, null, texts = (zipf(rng, rng.integers(20, 60, count), 200) for count in (200, 200, 50))
        search = searched((suffixes.index(tuning), suffixes.index(null)), texts, seed)
        p.append(borrowing.overlap(search)['covered']['p'])
        called.append(bool(search.borrowed))
    return {'studies': studies, 'null_p': float(np.mean(np.array(p) <= 0.05)), 'null_called': float(np.mean(called))}


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.borrowing')
    parser.add_argument('--rows', type=int, default=50_000)
    parser.add_argument('--responses', type=int, default=1000)
    parser.add_argument('--studies', type=int, default=200)
    asked = parser.parse_args()
    found = large(asked.rows, asked.responses) | small(asked.studies)
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))
    error = 2 * math.sqrt(0.05 * 0.95 / asked.studies)
    limits = AT_MOST | {'null_p': 0.05 + error, 'null_called': 0.05 + error}
    failed = [name for name, limit in limits.items() if found[name] > limit]
    failed += ['recall'] if found['recall'] < RECALL else []
    if failed:
        print(f'not met: {", ".join(failed)}', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
