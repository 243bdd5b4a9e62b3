"""Which windows are compared: whose responses they follow, how the base is prompted, how much of the prompt is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxshift.data import formats
from jaxshift.data.formats import Example
from jaxshift.data.template import Template


class Case(NamedTuple):
    """A response and the prompts behind which both models read it; under template matched they are one list."""

    example_id: str
    base_prompt: list[int]
    prompt: list[int]
    response: list[int]


@dataclass(frozen=True)
class Comparison:
    """The windows behind one object of summary.json, with the key of their records.

    Attributes:
      context, template, context_length: see config.Sweep.
      cases: the responses.
      step: the checkpoint that is compared; None where the last alone is.
    """

    context: str
    template: str
    context_length: int
    cases: list[Case]
    step: int | None = None


def references(
    examples: Sequence[Example], template: Template, context: int
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The data's own answers as objects of a responses.jsonl; prompts that have none, or no room for it, are counted.

    An answer that goes over the model's `context` is cut there, as a response is.
    """
    rows, counts = [], Counter[str]()
    for example in examples:
        if not example.messages or example.messages[-1].role != 'assistant':
            counts['prompts_without_reference'] += 1
            continue
        with formats.named(example):
            prompt = template.prompt_ids(formats.prompts(example))
            ids = template.example(example.messages)[0][len(prompt) :]
        room = context - len(prompt)
        if room < 1:
            counts['prompts_over_context'] += 1
            continue
        reason = 'length' if len(ids) > room else 'stop'
        row = {'prompt_token_ids': prompt, 'token_ids': ids[:room], 'finish_reason': reason}
        rows.append({'example_id': example.id} | row)
    return rows, counts


def cases(
    rows: Sequence[Mapping[str, Any]], base_prompts: Mapping[str, list[int]] | None, context: int
) -> tuple[list[Case], Counter[str]]:
    """The responses that can be compared; and how many cannot, by reason, and are cut.

    Args:
      rows: objects of responses.jsonl.
      base_prompts: by example id; None: the base reads the prompt of the row (template matched).
      context: of the model.
    """
    found, counts = [], Counter[str]()
    for row in rows:
        name, prompt, response = row['example_id'], row['prompt_token_ids'], row['token_ids']
        counts['cut_responses'] += row.get('finish_reason') == 'length'
        base = prompt if base_prompts is None else base_prompts.get(name)
        if not response:
            counts['empty_responses'] += 1
        elif base is None:
            counts['prompts_unknown_to_prompts_source'] += 1
        elif not base or len(base) + len(response) > context:
            counts['responses_over_context_behind_base_prompt'] += 1
        else:
            found.append(Case(name, base, prompt, response))
    return found, counts


def shortened(case: Case, length: int, bos: int | None) -> Case:
    """The same response behind the last `length` tokens of its prompts (-1: all), which keep a leading `bos`."""
    if length == -1:
        return case
    base, prompt = (_last(ids, length, bos) for ids in (case.base_prompt, case.prompt))
    return case._replace(base_prompt=base, prompt=prompt)


def _last(ids: list[int], length: int, bos: int | None) -> list[int]:
    begin = ids[: ids[0] == bos]
    return begin + ids[len(begin) :][-length:]
