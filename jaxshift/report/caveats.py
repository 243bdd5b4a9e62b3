"""What a reader must know before believing the numbers: runs left out, cut, refused, or not comparable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.compute as pc

from jaxshift.report.results import Results
from jaxshift.report.wording import counted
from jaxshift.store import ledger


def sentences(found: Results) -> list[str]:
    """One sentence for each caveat."""
    lines = [f'Run {run} has not been compared: runs/{run}/summary.json is missing.' for run in found.unfinished]
    of_runs = (line for run in found.summaries for line in _of_run(found, run))
    return [*lines, *_of_settings(found), *_of_prompts(found), *of_runs]


def _of_settings(found: Results) -> Iterator[str]:
    for run, made in found.recorded.items():
        if changed := ledger.difference({'sweep': made.get('sweep')}, {'sweep': found.config['sweep']}):
            yield (
                f'Run {run} has been compared with another {changed}, so its figures do not compare with those of '
                f'this experiment. Run --mode=run with {run} in the config, or remove runs/{run}.'
            )


def _of_prompts(found: Results) -> Iterator[str]:
    if any(asked != found.shared_prompts for asked in found.prompts.values()):
        counts = ', '.join(f'{run} {len(asked):,}' for run, asked in found.prompts.items())
        yield (
            f'The runs answered different prompts ({counts}; the same in all: {len(found.shared_prompts):,}), so '
            'their figures do not compare like with like. Answer the same prompts with all of them.'
        )


def _greedy(respond: Mapping[str, Any]) -> bool:
    return not respond.get('temperature') and respond.get('repetition_penalty', 1) == 1


def _of_run(found: Results, run: str) -> Iterator[str]:
    head, answers = found.summaries[run][0], found.responses[run]
    places: dict[str, list[str]] = {}
    for item in found.summaries[run]:
        for name, count in item.get('counts', {}).items():
            if count:
                line = f'{name.replace("_", " ")}: {count:,}.'
                places.setdefault(line, []).append(f'context {item["context"]}, template {item["template"]}')
    for line, where in places.items():
        windows = '' if len(where) == len(found.summaries[run]) else f' ({"; ".join(dict.fromkeys(where))})'
        yield f'Run {run}{windows}: {line}'
    cut = sum(row.get('finish_reason') == 'length' for row in answers.values())
    if cut:
        yield f'Run {run}: {cut:,} of {counted(len(answers), "response")} cut at the greatest length.'
    if (head['context'], head['template']) != ('own', 'matched'):
        return
    answered = {example for example, row in answers.items() if row['token_ids']}
    if answered != set(pc.unique(found.tokens[run]['example_id']).to_pylist()):
        yield f'Run {run}: responses.jsonl has other examples than the comparison; sweep it again.'
    own = head['all']['emitted_is_tuned_argmax']['mean']
    if head['context_length'] != -1 or not _greedy(found.config.get('respond', {})):
        return
    if own is not None and own < 100:
        yield (
            f"Run {run}: at {100 - own:.2g} % of positions the comparison's best token is not the one that was "
            'emitted: near-ties, or decoding and comparison disagree.'
        )
