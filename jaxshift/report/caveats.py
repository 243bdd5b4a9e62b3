"""What a reader must know before believing the numbers: runs left out, cut, refused, or not comparable."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc

from jaxshift.report.results import Results
from jaxshift.report.wording import counted


def sentences(found: Results) -> list[str]:
    """One sentence for each caveat."""
    lines = [f'Run {run} has not been compared: runs/{run}/summary.json is missing.' for run in found.unfinished]
    return [*lines, *_of_prompts(found), *(line for run in found.summaries for line in _of_run(found, run))]


def _of_prompts(found: Results) -> Iterator[str]:
    if any(asked != found.shared_prompts for asked in found.prompts.values()):
        counts = ', '.join(f'{run} {len(asked):,}' for run, asked in found.prompts.items())
        yield (
            f'The runs answered different prompts ({counts}; the same in all: {len(found.shared_prompts):,}), so '
            'their figures do not compare like with like. Answer the same prompts with all of them.'
        )


def _of_run(found: Results, run: str) -> Iterator[str]:
    head, answers = found.summaries[run][0], found.responses[run]
    for name, count in head.get('counts', {}).items():
        if count:
            yield f'Run {run}: {name.replace("_", " ")}: {count:,}.'
    cut = sum(row.get('finish_reason') == 'length' for row in answers.values())
    if cut:
        yield f'Run {run}: {cut:,} of {counted(len(answers), "response")} cut at the greatest length.'
    if head['context'] != 'own':
        return
    answered = {example for example, row in answers.items() if row['token_ids']}
    if answered != set(pc.unique(found.tokens[run]['example_id']).to_pylist()):
        yield f'Run {run}: responses.jsonl has other examples than the comparison; sweep it again.'
    own = head['all']['emitted_is_tuned_argmax']['mean']
    if own is not None and own < 100:
        yield (
            f"Run {run}: at {100 - own:.2g} % of positions the comparison's best token is not the one that was "
            'emitted: near-ties, or decoding and comparison disagree.'
        )
