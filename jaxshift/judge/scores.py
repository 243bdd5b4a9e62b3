"""Means of a judge's scores with intervals over prompts, and beside every mean how the other responses ended.

A response without a score has none: nothing stands in for it. Samples of one prompt (see `respond.responses.prompt_of`)
depend on each other, so resamples draw whole prompts (`shift.intervals`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxshift.errors import InputError
from jaxshift.judge.judgement import ASPECTS, OUTCOMES, SAFETY, Judgement
from jaxshift.respond.responses import prompt_of
from jaxshift.shift import intervals

WITHOUT_SCORE = 'without_score'  # the judge scored other aspects of the response, and not this one
COUNTS = (*OUTCOMES, WITHOUT_SCORE)


def summary(
    judgements: Sequence[Judgement],
    example_ids: Sequence[str],
    tags: Mapping[str, Mapping[str, Sequence[str]]],
    samples: int = 1,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """What one judge says about one run: the object of runs/RUN/judge/NAME.json.

    Args:
      judgements: by the judge, one a response at most.
      example_ids: of all responses; one that has no judgement counts as missing.
      tags: prompt to field to the values that it has there, such as {'q7': {'topic': ['history']}}.
      samples: responses of each prompt.
      bootstrap, seed: resamples of the prompts, and where they begin.

    Returns:
      `responses`, `prompts`; `aspects`, the figures of `means`; and `groups`, for every field and value a list item
      with these two, its `responses` and its own `aspects`. A prompt with several values counts under each.

    Raises:
      InputError: a judgement is of no response, or the second of one.
    """
    judged = completed(judgements, example_ids)
    members: dict[tuple[str, str], list[Judgement]] = {}
    for each in judged:
        for field, values in tags.get(prompt_of(each.example_id, samples), {}).items():
            for value in values:
                members.setdefault((field, value), []).append(each)
    return {
        'responses': len(judged),
        'prompts': len({prompt_of(each.example_id, samples) for each in judged}),
        'bootstrap': {'resamples': bootstrap, 'unit': 'prompt', 'level': intervals.LEVEL, 'seed': seed},
        'aspects': means(judged, samples, bootstrap, seed),
        'groups': [
            {'field': field, 'value': value, 'responses': len(group),
             'aspects': means(group, samples, bootstrap, seed)}
            for (field, value), group in sorted(members.items())
        ],
    }  # fmt: skip


def completed(judgements: Sequence[Judgement], example_ids: Sequence[str]) -> list[Judgement]:
    """One judgement a response, in the order of the responses; those without any are missing.

    Raises:
      InputError: a judgement is of no response, or the second of one.
    """
    found: dict[str, Judgement] = {}
    for each in judgements:
        if each.example_id in found:
            raise InputError(f'example {each.example_id}: judged twice by one judge; keep one of the two lines')
        found[each.example_id] = each
    if strange := [name for name in found if name not in set(example_ids)]:
        raise InputError(f'example {strange[0]}: judged, but not among the responses; run --mode=judge again')
    return [found.get(name, Judgement(name, 'missing', {})) for name in example_ids]


def aspects_of(judgements: Sequence[Judgement]) -> list[str]:
    """The aspects that were asked for: the known ones in their order, then others."""
    asked = dict.fromkeys(aspect for each in judgements for aspect in each.scores)
    known = [aspect for aspect in (*ASPECTS, SAFETY) if aspect in asked]
    return [*known, *(aspect for aspect in asked if aspect not in known)]


def means(
    judgements: Sequence[Judgement], samples: int = 1, bootstrap: int = 1000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """By aspect: the mean over scored responses and its interval, and what became of all responses.

    Returns:
      Aspect to `mean`, `interval` ([low, high]; None below two scored prompts), `scored` and `prompts`, the responses
      and prompts behind them, and `counts` of all responses that were to be judged on it, by COUNTS.
    """
    aspects = aspects_of(judgements)
    place = {name: i for i, name in enumerate(dict.fromkeys(prompt_of(j.example_id, samples) for j in judgements))}
    sums, counts = np.zeros((2, len(place), len(aspects)))
    ended: list[Counter[str]] = [Counter() for _ in aspects]
    for each in judgements:
        prompt = place[prompt_of(each.example_id, samples)]
        for column, aspect in enumerate(aspects):
            # A judgement that came to nothing may not say what was asked.
            if each.scores and aspect not in each.scores:
                continue
            score = each.scores.get(aspect)
            ended[column][_ending(each, score)] += 1
            if score is not None:
                sums[prompt, column] += score
                counts[prompt, column] += 1
    low, high = intervals.ratio_intervals(sums, counts, bootstrap, seed)
    return {
        aspect: {
            'mean': float(sums[:, i].sum() / counts[:, i].sum()) if counts[:, i].any() else None,
            'interval': None if math.isnan(low[i]) else [float(low[i]), float(high[i])],
            'scored': int(counts[:, i].sum()),
            'prompts': int((counts[:, i] > 0).sum()),
            'counts': {name: ended[i][name] for name in COUNTS},
        }
        for i, aspect in enumerate(aspects)
    }


def _ending(judgement: Judgement, score: float | None) -> str:
    replied = judgement.outcome in ('scored', 'repaired')
    return WITHOUT_SCORE if replied and score is None else judgement.outcome
