"""A workdir of made-up records, as large as one likes: two runs, and the ten likeliest tokens of both models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from jaxshift.shift import records, summary
from jaxshift.store.paths import Workdir

VOCABULARY = 49_152
K = 10
CANDIDATES = 14  # of a position, of which the lists show the likeliest
END = 0


def pieces() -> list[str]:
    """A text for every token, none twice: single letters, words that begin with a blank, and ends of words."""
    rng = np.random.default_rng(0)
    letters = np.array(list('etaoinshrdlucmfwypvbgkjqxz'))
    sizes = rng.integers(1, 9, 2 * VOCABULARY)
    drawn = np.minimum(rng.geometric(0.09, (2 * VOCABULARY, 9)) - 1, 25)
    words = (' ' * (i % 3 > 0) + ''.join(letters[drawn[i, :size]]) for i, size in enumerate(sizes))
    return list(dict.fromkeys([*letters, *words]))[:VOCABULARY]


def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of these tokens, which reads them as those of real models are read."""
    vocabulary = {text.replace(' ', 'Ġ'): token for token, text in enumerate(texts)}
    made = Tokenizer(models.BPE(vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made)


def candidates(rng: np.random.Generator, positions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids [P, C], all different at a position, and the log-probabilities of both models."""
    bounds = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    ids = np.searchsorted(bounds, rng.random((positions, CANDIDATES)) * bounds[-1])
    for column in range(1, CANDIDATES):
        while (again := (ids[:, column : column + 1] == ids[:, :column]).any(axis=1)).any():
            ids[again, column] = rng.integers(VOCABULARY, size=int(again.sum()))
    gaps = rng.lognormal(0.15, 1.15, (positions, 1)) * rng.exponential(1, (positions, CANDIDATES)) ** 1.3
    gaps /= np.arange(1, CANDIDATES + 1) ** 0.7
    scores = -np.cumsum(gaps, axis=1)
    moved = scores + np.abs(rng.normal(0, 0.38, (positions, 1))) * rng.normal(0, 1, scores.shape)
    return ids, _normal(scores), _normal(moved)


def _normal(scores: np.ndarray) -> np.ndarray:
    """Log-probabilities, with a tenth for all other tokens."""
    below = scores - scores.max(axis=1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=1, keepdims=True)) + np.log(0.9)


def measures(rng: np.random.Generator, positions: int) -> dict[str, np.ndarray]:
    """What the records of so many positions hold."""
    ids, base, tuned = candidates(rng, positions)
    order = {'base': np.argsort(-base, axis=1), 'tuned': np.argsort(-tuned, axis=1)}
    first = order['tuned'][:, :1]

    def pick(values: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, at, axis=1)

    rank = 1 + (base > pick(base, first)).sum(axis=1)
    found = {name: np.zeros(positions) for name in records.MEASURES}
    chosen = pick(ids, first)[:, 0]
    found |= {
        'token_id': chosen,
        'tuned_argmax_id': chosen,
        'base_argmax_id': pick(ids, order['base'])[:, 0],
        'base_rank': rank,
        'emitted_base_rank': rank,
        'emitted_tuned_rank': np.ones(positions),
        'base_logprob': pick(base, first)[:, 0],
        'tuned_logprob': pick(tuned, first)[:, 0],
        'emitted_base_logprob': pick(base, first)[:, 0],
        'emitted_tuned_logprob': pick(tuned, first)[:, 0],
        'kl_tuned_base': np.maximum((np.exp(tuned) * (tuned - base)).sum(axis=1), 1e-6),
        'base_entropy': -(np.exp(base) * base).sum(axis=1) + 0.2,
        'tuned_entropy': -(np.exp(tuned) * tuned).sum(axis=1) + 0.2,
    }
    for name, values in (('base', base), ('tuned', tuned)):
        found[f'top_ids_{name}'] = pick(ids, order[name])[:, :K]
        found[f'top_logprobs_{name}'] = pick(values, order[name])[:, :K]
    return found


def make(folder: Path, examples: int, tokens: int) -> None:
    """A workdir of two runs."""
    texts, runs = pieces(), ('lora', 'full')
    config = {
        'name': 'a large page', 'seed': 0, 'base': {'source': ''}, 'data': {'source': ''}, 'prompts': {'source': ''},
        'sweep': {'bootstrap': 1000, 'marginal_above': 1, 'shifted_above': 3},
        'runs': {run: {'method': run, 'learning_rate': 1e-4, 'seed': 0} for run in runs},
    }  # fmt: skip
    folder.mkdir(parents=True)
    experiment = {'config': config, 'config_hash': '', 'command': '', 'versions': {}}
    (folder / 'experiment.json').write_text(json.dumps(experiment | {'devices': {'count': 1, 'kind': 'cpu'}}))
    ids = [f'prompt-{number:04d}' for number in range(examples)]
    for seed, run in enumerate(runs):
        rng = np.random.default_rng(1 + seed)
        rows = records.table(
            run, 'own', 'matched', -1, np.repeat(ids, tokens).tolist(), measures(rng, examples * tokens),
            positions=np.tile(np.arange(tokens), examples),
        )  # fmt: skip
        path = Workdir(folder).run(run)
        for part in range(8):
            size = -(-len(rows) // 8)
            records.write_part(path / 'tokens', part, rows.slice(part * size, size))
        _beside(path, run, rows, ids, tokens, texts, rng)


def _beside(
    path: Path, run: str, rows: pa.Table, ids: list[str], tokens: int, texts: list[str], rng: np.random.Generator
) -> None:
    extra = {('own', 'matched'): {'method': run, 'learning_rate': 1e-4}}
    summary.write(path / 'summary.json', summary.summarise(rows, texts, [END], 0, 100, extra))
    (path / 'metrics.jsonl').write_text('')
    said = rows['token_id'].to_numpy().reshape(len(ids), tokens)
    with (path / 'responses.jsonl').open('w') as file:
        for example, response in zip(ids, said.tolist(), strict=True):
            prompt = ''.join(texts[token] for token in rng.integers(VOCABULARY, size=20))
            row = {'example_id': example, 'prompt': prompt, 'prompt_token_ids': [1], 'token_ids': response}
            file.write(json.dumps(row | {'response': ''.join(texts[token] for token in response)}) + '\n')
