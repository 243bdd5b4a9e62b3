"""A Llama on the devices here as a judge, its reply constrained to what can be said: one token where the score stands.

For each aspect the model reads the question and its own reply up to the score, `{"depth": {"score": `, and the
probabilities of the score tokens, renormalised, give the expected score (as in G-Eval, Liu et al., arXiv 2303.16634,
where samples estimate what is exact here). How much probability lies on them at all is kept: little of it says that the
model would rather have replied something else.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxshift.data.batches import bucket
from jaxshift.data.shapes import Message
from jaxshift.data.template import Template
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process
from jaxshift.errors import InputError
from jaxshift.judge import rubric
from jaxshift.judge.asking import Row
from jaxshift.judge.judgement import HIGHEST, LOWEST, Judgement
from jaxshift.judge.pairs import MEANT, Pair
from jaxshift.judge.rubric import EVEN, FIRST, SECOND, Messages
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.store import jsonl

SCORES = tuple(str(score) for score in range(LOWEST, HIGHEST + 1))
LETTERS = (FIRST, SECOND, EVEN)
ORDERS = ('run first', 'run second')


@dataclass(frozen=True)
class LocalJudge:
    """A model with all that it takes to ask it: `params` lie on `mesh`, `dtype` is that of activations."""

    config: LlamaConfig
    params: dict
    dtype: str
    template: Template
    mesh: Mesh


class Question(NamedTuple):
    """What is read before one token, and the tokens looked at there; `part` tells questions on a response apart."""

    example_id: str
    part: str
    ids: list[int]
    choices: list[int]


Found = dict[tuple[str, str], list[float]]  # (example_id, part) to the probabilities of the choices


def scoring(template: Template, rows: Sequence[tuple[Row, Sequence[str]]]) -> list[Question]:
    """One question a response and aspect."""
    questions, openings = [], {}
    for row, aspects in rows:
        for aspect in aspects:
            if aspect not in openings:
                openings[aspect] = opening(template, f'{{"{aspect}": {{"score": ', SCORES)
            begun, choices = openings[aspect]
            asked = rubric.scoring(row['prompt'], row['response'], (aspect,), reasons=False)
            questions.append(Question(row['example_id'], aspect, _prompt(template, asked) + begun, choices))
    return questions


def comparing(template: Template, rows: Sequence[tuple[Row, Row]]) -> list[Question]:
    """Two questions a pair of responses, one in each order."""
    begun, choices = opening(template, '{"winner": "', LETTERS)
    questions = []
    for row, other in rows:
        for order, pair in zip(ORDERS, ((row, other), (other, row)), strict=True):
            asked = rubric.comparing(row['prompt'], pair[0]['response'], pair[1]['response'], reasons=False)
            questions.append(Question(row['example_id'], order, _prompt(template, asked) + begun, choices))
    return questions


def opening(template: Template, text: str, choices: Sequence[str]) -> tuple[list[int], list[int]]:
    """Ids of the beginning of a reply, and the token that each choice adds to it, as the template would train them.

    Raises:
      InputError: the tokenizer does not write the choices as one token each.
    """
    asked = [Message('user', 'question')]
    head = len(template.prompt_ids(asked))
    written = [template.example([*asked, Message('assistant', text + choice)])[0][head:] for choice in choices]
    columns = list(zip(*written, strict=False))
    differing = [place for place, column in enumerate(columns) if len(set(column)) > 1]
    one_place = len({len(ids) for ids in written}) == 1 and len(differing) == 1
    if not one_place or len(set(columns[differing[0]])) < len(choices):
        raise InputError(
            f'config.judge.source: its tokenizer does not write each of {", ".join(choices)} as one token of its own, '
            'so a reply cannot be constrained to them; take another judge'
        )
    return written[0][: differing[0]], list(columns[differing[0]])


def ask(
    judge: LocalJudge, questions: Sequence[Question], path: Path, batch_size: int, stop: process.StopSignal,
    progress: Callable[[int, int], None],
) -> Found:  # fmt: skip
    """The probabilities, over the whole vocabulary, of each question's choices.

    Every process computes every batch; the leader writes, to `path`, from which a restart goes on. A question that does
    not fit the model's context is left out.
    """
    process.by_leader('asked', lambda: jsonl.mend(path))
    found: Found = {(row['example_id'], row['part']): row['probabilities'] for row in jsonl.read(path)}
    process.together('asked')
    fitting = [question for question in questions if len(question.ids) <= judge.config.context]
    left = sorted((each for each in fitting if each[:2] not in found), key=lambda question: len(question.ids))
    size = batch_size + -batch_size % meshes.row_shards(judge.mesh)
    with path.open('a', encoding='utf-8') if process.leads() else nullcontext() as file:
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            for question, values in zip(batch, _batch(judge, batch, size), strict=False):
                found[question[:2]] = values.tolist()
                if file:
                    part = {'example_id': question.example_id, 'part': question.part}
                    file.write(jsonl.line(part | {'probabilities': values.tolist()}))
            if file:
                file.flush()
            progress(len(found), len(fitting))
            stop.check()
    return found


def judgement(row: Row, aspects: Sequence[str], found: Found) -> Judgement:
    """What was found for a response; `raw` has the probabilities behind each expected score."""
    read = {aspect: found.get((row['example_id'], aspect)) for aspect in aspects}
    scores = {aspect: _expected(values) if values else None for aspect, values in read.items()}
    raw = tuple(json.dumps({aspect: _shown(SCORES, values)}) for aspect, values in read.items() if values)
    return Judgement(row['example_id'], 'scored' if len(raw) == len(aspects) else 'failed', scores, {}, raw)


def pair(row: Row, other: str, found: Found) -> Pair:
    """What was found for a pair: in each order the likeliest verdict."""
    read = [found.get((row['example_id'], order)) for order in ORDERS]
    said = [
        meant[LETTERS[int(np.argmax(values))]] if values else None for values, meant in zip(read, MEANT, strict=True)
    ]
    outcomes = ['scored' if values else 'failed' for values in read]
    raws = [(json.dumps(_shown(LETTERS, values)),) if values else () for values in read]
    return Pair(row['example_id'], other, (said[0], said[1]), (outcomes[0], outcomes[1]), raw=(raws[0], raws[1]))


def mass(found: Found) -> float:
    """Mean probability of saying one of the choices at all; NaN without questions."""
    return float(np.mean([sum(values) for values in found.values()])) if found else float('nan')


def _expected(values: Sequence[float]) -> float:
    weights = np.asarray(values, np.float64)
    expected = np.arange(LOWEST, HIGHEST + 1) @ weights / weights.sum()
    return float(np.clip(expected, LOWEST, HIGHEST))  # the last digit of a sum may lie beyond


def _shown(choices: Sequence[str], values: Sequence[float]) -> dict:
    return {'probabilities': dict(zip(choices, values, strict=True)), 'mass': sum(values)}


def _prompt(template: Template, messages: Messages) -> list[int]:
    """Ids of a question in one turn: some chat templates have no system turn."""
    return template.prompt_ids([Message('user', '\n\n'.join(message['content'] for message in messages))])


def _batch(judge: LocalJudge, batch: Sequence[Question], size: int) -> np.ndarray:
    """Probabilities [B, C]; rows beyond the batch, which fill it up to a size that devices can share, say nothing."""
    parts = judge.mesh.shape['sequence']
    longest = max(len(question.ids) for question in batch)
    length = max(longest, min(bucket(longest), judge.config.context))
    tokens = np.zeros((size, length + -length % parts), np.int32)
    segments, choices = np.zeros_like(tokens), np.zeros((size, len(batch[0].choices)), np.int32)
    segments[:, 0] = 1
    for i, question in enumerate(batch):
        tokens[i, : len(question.ids)] = question.ids
        segments[i, : len(question.ids)] = 1
        choices[i] = question.choices
    rows = meshes.put_rows(judge.mesh, {'tokens': tokens, 'segments': segments})
    return np.asarray(meshes.host(_probabilities(judge.config, judge.dtype, judge.params, **rows, choices=choices)))


@functools.partial(jax.jit, static_argnames=('config', 'dtype'))
def _probabilities(
    config: LlamaConfig, dtype: str, params: dict, tokens: jax.Array, segments: jax.Array, choices: jax.Array
) -> jax.Array:
    """float32 [B, C]: of the tokens `choices` [B, C] behind each row of `tokens` [B, T], whose `segments` are 1."""
    hidden = model.forward(config, params, tokens, segments=segments, dtype=jnp.dtype(dtype), packed=False)
    last = segments.sum(axis=1) - 1
    hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    head = model.head(params).astype(hidden.dtype)
    logits = jnp.einsum('bd,dv->bv', hidden, head, preferred_element_type=jnp.float32)
    return jnp.take_along_axis(jax.nn.softmax(logits, axis=-1), choices, axis=1)
