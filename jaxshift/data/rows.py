"""From examples to rows of tokens and targets, and what is left out on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxshift.data.formats import Example, Refusal
from jaxshift.data.shapes import Tokens
from jaxshift.data.template import Template
from jaxshift.errors import InputError

FIRST_EXAMPLES = 32  # among so many, one must train a token that ends a response


class Row(NamedTuple):
    """One example: `tokens` int32 [T], `trained` bool [T] (the token is a target of the loss), `example_id`."""

    tokens: np.ndarray
    trained: np.ndarray
    example_id: str


def tokenise(
    examples: Iterable[Example],
    template: Template,
    max_length: int,
    on_bad: str,
    counts: dict[str, Any],
    refused: list[Refusal],
) -> Iterator[Row]:
    """Yields the rows of examples in order, as `dataset.build` documents; adds to `counts` and `refused` as it goes.

    Raises:
      InputError: names the record that cannot be trained on; or none of the first answers would ever end.
    """
    stops, seen = False, 0
    for example in examples:
        try:
            if example.text:
                yield from _text_rows(example, template, max_length, counts)
                continue
            ids, trained = _known(example.tokens, template) if example.tokens else template.example(example.messages)
        except InputError as error:
            if on_bad == 'error':
                raise InputError(f'{example.where}: {error}') from None
            refused.append(Refusal(example.where, str(error).split(';')[0]))
            continue
        longer = len(ids) > max_length
        ids, trained = ids[:max_length], trained[:max_length]
        if longer and not any(trained[1:]):
            refused.append(Refusal(example.where, f'no token of the answer within max_length {max_length}'))
            continue
        counts['cut'] += longer
        stops = stops or any(mark and token in template.stop_ids for token, mark in zip(ids, trained, strict=True))
        seen += 1
        if seen == FIRST_EXAMPLES:
            _check_stops(stops, seen, template)
        yield Row(np.asarray(ids, np.int32), np.asarray(trained, bool), example.id)
    _check_stops(stops or not seen, seen, template)


def _text_rows(example: Example, template: Template, max_length: int, counts: dict[str, Any]) -> Iterator[Row]:
    if template.tokenizer.eos_token_id is None:
        raise InputError('the tokenizer has no eos_token, so texts could not be told apart; set it')
    ids = np.asarray(template.text_ids(example.text), np.int32)
    if len(ids) < 2:
        raise InputError('text: has no token; remove the record')
    starts = range(0, len(ids) - 1, max_length - 1)
    counts['split'] += len(starts) > 1
    for number, start in enumerate(starts, start=1):
        piece = ids[start : start + max_length]
        yield Row(piece, np.arange(len(piece)) > 0, f'{example.id}/{number}' if len(starts) > 1 else example.id)


def _known(tokens: Tokens, template: Template) -> Tokens:
    size, greatest, least = len(template.tokenizer), max(tokens.ids), min(tokens.ids)
    if greatest >= size or least < 0:
        wrong = least if least < 0 else greatest
        raise InputError(
            f'input_ids: holds a token that is not in the vocabulary; {wrong} is not in 0 to {size - 1}: tokenise '
            "with the base's tokenizer"
        )
    return tokens


def _check_stops(stops: bool, seen: int, template: Template) -> None:
    if not stops:
        names = ', '.join(template.tokenizer.convert_ids_to_tokens(list(template.stop_ids))) or 'no eos_token'
        raise InputError(
            f'none of the first {seen} examples trains a token that ends an answer ({names}), so the tuned model would '
            'never stop; raise data.max_length if it cuts them, put the end-of-turn token inside the generation tags '
            'of the chat template, or set data.template=paper'
        )
