"""What a reader must know before believing the numbers: runs left out, cut, refused, or not comparable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow.compute as pc

from jaxshift.report import style
from jaxshift.report.results import Results
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted
from jaxshift.shift import summary
from jaxshift.store import ledger

_MOST_CHARACTERS = 12  # named in a sentence
_WITHOUT_SCORE = ('unparsed', 'refused', 'failed', 'missing')


def sentences(found: Results) -> list[str]:
    """One sentence for each caveat."""
    lines = [f'Run {run} has not been compared: runs/{run}/summary.json is missing.' for run in found.unfinished]
    of_runs = (line for run in found.summaries for line in _of_run(found, run))
    common = (*_of_settings(found), *_of_windows(found), *_of_prompts(found))
    return [*lines, *common, *of_runs, *_of_base(found), *_of_judges(found)]


def of_fonts(svgs: Iterable[str]) -> list[str]:
    """The caveat of characters of the figures that their PNG files cannot draw."""
    lacking = style.without_glyph(svgs)
    if not lacking:
        return []
    more = ' …' if len(lacking) > _MOST_CHARACTERS else ''
    return [
        f'No font was found for {counted(len(lacking), "character")} of the figures '
        f'({" ".join(lacking[:_MOST_CHARACTERS])}{more}), so their PNG files name them by number, as U+4E2D. '
        'Install one, such as Noto Sans CJK SC, remove report/, and run --mode=report.'
    ]


def _of_base(found: Results) -> Iterator[str]:
    if cut := _cut(found.base_responses):
        yield f'Base: {cut}, so the base would write more than length ratios say.'


def _of_judges(found: Results) -> Iterator[str]:
    for run, verdicts in found.judged.items():
        for judge, verdict in verdicts.items():
            by_aspect = [figures['counts'] for figures in verdict.summary['aspects'].values()]
            most = {name: max(counts[name] for counts in by_aspect) for name in _WITHOUT_SCORE if by_aspect}
            if told := [f'{count:,} {name}' for name, count in most.items() if count]:
                yield f'Run {run}, judge {judge}: responses without a score: {", ".join(told)}.'


def _cut(responses: Mapping[str, Row]) -> str:
    cut = sum(row.get('finish_reason') == 'length' for row in responses.values())
    return f'{cut:,} of {counted(len(responses), "response")} cut at the greatest length' if cut else ''


def _of_settings(found: Results) -> Iterator[str]:
    for run, made in found.recorded.items():
        kept = made.get('sweep', {})  # of the settings those that a summary depends on
        now = {key: found.config['sweep'].get(key) for key in kept}
        if changed := ledger.difference({'sweep': kept}, {'sweep': now}):
            yield (
                f'Run {run} has been compared with another {changed}, so its figures do not compare with those of '
                f'this experiment. Run --mode=run with {run} in the config, or remove runs/{run}.'
            )


def _of_windows(found: Results) -> Iterator[str]:
    if found.headline['template'] != 'matched':
        yield (
            f'The windows shown here have template {found.headline["template"]}: the base reads the prompt in another '
            'form than the tuned model, so what is measured is the difference of the forms too.'
        )
    for run in found.summaries:
        if run not in found.tokens:
            yield (
                f'Run {run} has not been compared on the windows shown here ({summary.described(found.headline)}), so '
                'it is in the table of all windows alone. Sweep all runs with the same contexts, templates and '
                f'context_lengths, or remove runs/{run}.'
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
    for name in found.outdated[run]:
        yield (
            f'runs/{run}/{name} judges responses that run {run} has since given anew, so its scores are not of '
            'those shown here. Judge again with that judge, or remove its files.'
            if name.startswith('judge/')
            else f'runs/{run}/{name} is of responses, records or weights that run {run} has since replaced, so it is '
            'left out here. Ask again with --mode=causes and its name in config.causes.analyses, or remove it.'
        )
    answers = found.responses[run]
    places: dict[str, list[str]] = {}
    for item in found.summaries[run]:
        for name, count in item.get('counts', {}).items():
            if count:
                line = f'{name.replace("_", " ")}: {count:,}.'
                places.setdefault(line, []).append(f'context {item["context"]}, template {item["template"]}')
    for line, where in places.items():
        windows = '' if len(where) == len(found.summaries[run]) else f' ({"; ".join(dict.fromkeys(where))})'
        yield f'Run {run}{windows}: {line}'
    if cut := _cut(answers):
        yield f'Run {run}: {cut}.'
    answered = {example for example, row in answers.items() if row['token_ids']}
    own_shown = (found.headline['context'], found.headline['template']) == ('own', 'matched') and run in found.tokens
    if own_shown and answered != set(pc.unique(found.tokens[run]['example_id']).to_pylist()):
        yield f'Run {run}: responses.jsonl has other examples than the comparison; sweep it again.'
    plain = summary.of_windows(found.summaries[run], summary.PLAIN)
    own = plain[0]['all']['emitted_is_tuned_argmax']['mean'] if plain else None
    if own is not None and own < 100 and _greedy(found.config.get('respond', {})):
        yield (
            f"Run {run}: at {100 - own:.2g} % of positions the comparison's best token is not the one that was "
            'emitted: near-ties, or decoding and comparison disagree.'
        )
