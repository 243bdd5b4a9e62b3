"""Responses to all prompts of a study, batch by batch; a restart goes on at the next prompt without one."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from jaxshift.data import formats
from jaxshift.data.batches import bucket
from jaxshift.data.formats import Example
from jaxshift.data.template import Template
from jaxshift.devices import process
from jaxshift.errors import InputError
from jaxshift.llama.config import LlamaConfig
from jaxshift.respond.decode import Decoder, generate
from jaxshift.store import jsonl


class Prompt(NamedTuple):
    """What is answered: its id, its text for readers, and its tokens."""

    example_id: str
    text: str
    token_ids: list[int]


def prompt(example: Example, template: Template, config: LlamaConfig) -> Prompt:
    """What an example asks, as the model will see it.

    Raises:
      InputError: it asks nothing, or does not fit the model's context; which example it is, is for `formats.named`.
    """
    turns = formats.prompts(example)
    asked = Prompt(example.id, turns[-1].content, template.prompt_ids(turns))
    check_prompts([asked], config)
    return asked


def sampled(prompts: Sequence[Prompt], samples: int) -> list[Prompt]:
    """Every prompt `samples` times; from the second on the example id ends in #1, #2, ... (see `prompt_of`).

    Raises:
      InputError: a prompt has the id of a sample.
    """
    for prompt in prompts:
        if prompt_of(prompt.example_id, samples) != prompt.example_id:
            raise InputError(f'prompt {prompt.example_id!r} has the id of a sample; give it another id, or samples=1')
    return [
        prompt._replace(example_id=f'{prompt.example_id}#{number}' if number else prompt.example_id)
        for prompt in prompts
        for number in range(samples)
    ]


def prompt_of(example_id: str, samples: int) -> str:
    """The id of the prompt that a response of `sampled` answers.

    How many samples there are decides, not the id alone: with one sample 'q#1' is a prompt that is called so, and with
    more of them it belongs to 'q' even where that sample itself is not among the responses.
    """
    prompt, mark, number = example_id.rpartition('#')
    return prompt if mark and number in map(str, range(1, samples)) else example_id


def respond(
    decoder: Decoder,
    params: dict,
    prompts: Sequence[Prompt],
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    batch_size: int,
    stop: process.StopSignal,
    progress: Callable[[int, int], None],
    stop_texts: Sequence[str] = (),
) -> None:
    """Writes responses.jsonl: one object a prompt, in the order of the prompts.

    Every process decodes every batch, since each may hold a part of the parameters alone; the leader writes.

    Args:
      decoder: how to decode.
      params: the tuned parameters.
      prompts: what to answer.
      tokenizer: turns the tokens of a response into text.
      path: the file; while it grows it is called path.partial.
      batch_size: prompts decoded together.
      stop: is asked after every batch.
      progress: takes (prompts answered, prompts in all).
      stop_texts: end a response as an end token does. `response` is cut before the first; `token_ids` go on to the
        token that completes it. They are looked for when a batch is decoded, so they save no time.

    Raises:
      InputError: a prompt does not fit the model's context.
    """
    check_prompts(prompts, decoder.config)
    partial = path.with_name(path.name + '.partial')
    process.by_leader('answered', lambda: jsonl.mend(partial))
    answered = {row['example_id']: row for row in jsonl.read(partial)}
    process.together('answered')
    left = [prompt for prompt in prompts if prompt.example_id not in answered]
    with partial.open('a', encoding='utf-8') if process.leads() else nullcontext() as file:
        for rows in decoded(decoder, params, left, tokenizer, min(batch_size, len(prompts)), stop_texts):
            answered |= {row['example_id']: row for row in rows}
            if file:
                file.writelines(map(jsonl.line, rows))
                file.flush()
            progress(len(answered), len(prompts))
            stop.check()

    def finish() -> None:
        jsonl.write(partial, (answered[prompt.example_id] for prompt in prompts))
        partial.replace(path)

    process.by_leader('responses', finish)


def decoded(
    decoder: Decoder, params: dict, prompts: Sequence[Prompt], tokenizer: PreTrainedTokenizerBase, batch_size: int,
    stop_texts: Sequence[str] = (),
) -> Iterator[list[dict[str, Any]]]:  # fmt: skip
    """The objects of responses.jsonl, batch by batch, the shortest prompts first; arguments as for `respond`."""
    for batch, filled, length in batches(prompts, batch_size):
        tokens, names = [prompt.token_ids for prompt in filled], [prompt.example_id for prompt in filled]
        responses = generate(decoder, params, tokens, length, names)
        yield [row(prompt, ids, decoder, tokenizer, stop_texts) for prompt, ids in zip(batch, responses, strict=False)]


def batches(prompts: Sequence[Prompt], size: int) -> Iterator[tuple[list[Prompt], list[Prompt], int]]:
    """Prompts that are decoded together, the shortest first: they, they filled up to the size, their padded length."""
    ordered = sorted(prompts, key=lambda prompt: len(prompt.token_ids))
    for start in range(0, len(ordered), size):
        batch = ordered[start : start + size]
        # The last batch is filled up, so that it needs no compilation of its own.
        yield batch, batch + [batch[-1]] * (size - len(batch)), bucket(max(len(each.token_ids) for each in batch))


def check_prompts(prompts: Sequence[Prompt], config: LlamaConfig) -> None:
    """Raises InputError when a prompt does not fit the model's context."""
    context = config.context
    for prompt in prompts:
        if not 0 < len(prompt.token_ids) < context:
            raise InputError(
                f'prompt {prompt.example_id}: {len(prompt.token_ids)} tokens do not fit the context of {context}; '
                'shorten the prompt or leave it out'
            )


def check_tokens(rows: Sequence[dict[str, Any]], path: Path, config: LlamaConfig) -> None:
    """Raises InputError when responses that `read` has let pass are not tokens of this model."""
    for number, row in enumerate(rows, start=1):
        for field in ('prompt_token_ids', 'token_ids'):
            if not all(0 <= i < config.vocab_size for i in row[field]):
                raise InputError(
                    f'{path}:{number}: {field} must be a list of token ids from 0 to {config.vocab_size - 1}; '
                    'write it with the tokenizer of the base'
                )
        length, context = len(row['prompt_token_ids']) + len(row['token_ids']), config.context
        if not row['prompt_token_ids'] or length > context:
            raise InputError(
                f'{path}:{number}: prompt and response need a prompt token and {context} tokens at most, '
                f'not {length}; cut the response or leave the line out'
            )


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a responses.jsonl, which another tool may have written.

    Raises:
      InputError: the file is missing, a line lacks a field or has one of another type, or two have the same id.
    """
    if not path.is_file():
        raise InputError(f'{path}: no such file; run --mode=respond first')
    rows = jsonl.read(path)
    lines: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        missing = [name for name in ('example_id', 'prompt_token_ids', 'token_ids') if name not in row]
        if missing:
            raise InputError(f'{path}:{number}: field {missing[0]} is missing; add it to every line')
        name = row['example_id']
        if not isinstance(name, str):
            raise InputError(f'{path}:{number}: example_id is {json.dumps(name)}; write it as a string')
        if name in lines:
            raise InputError(
                f'{path}:{number}: example_id {name!r} is that of line {lines[name]} too; give every line its own'
            )
        lines[name] = number
        for field in ('prompt_token_ids', 'token_ids'):
            if not isinstance(row[field], list) or any(type(i) is not int for i in row[field]):
                raise InputError(f'{path}:{number}: {field} must be a list of whole numbers; write it as token ids')
    return rows


def answer(
    ids: list[int], stop_ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, stop_texts: Sequence[str]
) -> tuple[list[int], str, bool]:
    """Of decoded tokens: those that count, their text, and whether an end token or a stop text ended them.

    The text has neither end token nor stop text; the tokens go on to the one that completes it.
    """
    stopped = bool(ids) and ids[-1] in stop_ids
    said = ids[: len(ids) - stopped]
    if cut := _cut(said, tokenizer, stop_texts):
        return *cut, True
    return ids, str(tokenizer.decode(said, skip_special_tokens=True)), stopped


def row(
    prompt: Prompt, ids: list[int], decoder: Decoder, tokenizer: PreTrainedTokenizerBase, stop_texts: Sequence[str]
) -> dict[str, Any]:
    """The object of responses.jsonl of a prompt and its decoded tokens."""
    ids, response, stopped = answer(ids, decoder.stop_ids, tokenizer, stop_texts)
    return {
        'example_id': prompt.example_id,
        'prompt': prompt.text,
        'prompt_token_ids': prompt.token_ids,
        'response': response,
        'token_ids': ids,
        'finish_reason': 'stop' if stopped else 'length',
    }


def _cut(ids: list[int], tokenizer: PreTrainedTokenizerBase, stop_texts: Sequence[str]) -> tuple[list[int], str] | None:
    """The ids up to the one that completes a stop text, and the text before it; None where no stop text is found.

    Stop texts may be, or hold, names of special tokens, which the text that is returned leaves out.
    """

    def text(count: int, special: bool = True) -> str:
        return str(tokenizer.decode(ids[:count], skip_special_tokens=not special))

    def places(count: int) -> list[int]:
        shown = text(count)
        return [shown.index(stop) for stop in stop_texts if stop in shown]

    if not places(len(ids)):
        return None
    count = bisect.bisect_left(range(len(ids)), True, key=lambda n: bool(places(n)))
    before = text(count)[: min(places(count))]
    kept = next(n for n in reversed(range(count)) if before.startswith(text(n)))
    response = text(kept, special=False)
    if text(kept + 1, special=False) != response:  # the stop text begins inside a token that is not special
        response += before[len(text(kept)) :]
    return ids[:count], response
