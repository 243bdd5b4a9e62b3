"""The section of data treatments: each treated run beside the plain one, which is the paper's Figure 9."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from jaxshift.causes import truth
from jaxshift.judge import comparison
from jaxshift.report import tables
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number
from jaxshift.respond.responses import prompt_of
from jaxshift.shift import curves, intervals

# Keys in which a treated run and its plain one may differ.
_TREATMENTS = ('treatment', 'neftune_alpha')
_WATCHED = ('log_every', 'eval_every', 'checkpoint_every', 'keep_steps', 'remat', 'micro_batch_size')
_ASKED = {'held_out_accuracy': 'held-out', 'new_fact_accuracy': 'new'}  # kinds of questions
_RULE = (
    'Runs that differ in nothing but the treatment of their data, or in NEFTune’s noise. What is held out is '
    'untreated. A treatment that leaves examples out also takes fewer steps for the same epochs. Final training losses '
    'are left out: each is of the run’s own training data, or under noise, so two of them are no comparison. '
    'Differences are treated minus plain, question by question or prompt by prompt of those that both answered, with '
    '95 % bootstrap intervals over these; none speaks of another training seed. The paper finds that no treatment '
    'beats plain LoRA (Fig. 9).'
)


def section(found: Results) -> Section | None:
    """Every treated run that has a plain counterpart in the study."""
    pairs = counterparts(found.config['runs'], list(found.tokens))
    if not pairs:
        return None
    rows = {
        row['run']: row
        for row in found.of_headline(tables.overview(found.summaries, found.metrics, found.config['runs'], 'all'))
    }
    shown = [_row(found, rows, run, plain) for run, plain in pairs.items()]
    judged = [row for run, plain in pairs.items() for row in _judged(found, run, plain)]
    made: dict[str, Sequence[Row]] = {'treatments': shown}
    if judged:
        made['treatments_judged'] = judged
    return Section('Data treatments', [_RULE, *_apart(found, pairs), *map(_of_row, shown), *_of_judged(judged)], made)


def _apart(found: Results, runs: Collection[str]) -> list[str]:
    """Which runs hold out other examples."""
    treatments = found.config.get('treatments', {})
    own = [run for run in runs if treatments.get(found.config['runs'][run].get('treatment', ''), {}).get('source')]
    if not own or not found.config['data'].get('held_out'):
        return []
    return [f'{", ".join(own)}: examples held out are of the run’s own source, so losses on them are of others.']


def counterparts(runs: Mapping[str, Mapping[str, Any]], there: Sequence[str]) -> dict[str, str]:
    """Treated run to plain run: the first that is treated by nothing and like it in all other settings."""

    def others(run: str) -> dict[str, Any]:
        return {key: value for key, value in runs[run].items() if key not in (*_TREATMENTS, *_WATCHED)}

    known = [run for run in there if run in runs]
    plain = [run for run in known if not any(runs[run].get(key) for key in _TREATMENTS)]
    found = {run: [each for each in plain if others(each) == others(run)] for run in known if run not in plain}
    return {run: alike[0] for run, alike in found.items() if alike}


def described(config: Mapping[str, Any], run: str) -> str:
    """What was done to the data of a run, in words."""
    asked, words = config['runs'][run], []
    treatment = config.get('treatments', {}).get(asked.get('treatment', ''), {})
    if treatment.get('source'):
        words.append(f'data from {treatment["source"]}')
    if treatment.get('score'):
        words.append(f'scores of at least {treatment["min_score"]:g} ({treatment["score"]})')
    if treatment.get('simplify') == 'rules':
        words.append(f'short answers by rule ({counted(treatment["sentences"], "sentence")})')
    if treatment.get('simplify') == 'endpoint':
        words.append('short answers by a model')
    if asked.get('neftune_alpha'):
        words.append(f'NEFTune {asked["neftune_alpha"]:g}')
    return ', '.join(words) or 'none'


def _row(found: Results, rows: Mapping[str, Row], run: str, plain: str) -> Row:
    bootstrap, seed = found.config['sweep']['bootstrap'], found.config['seed']
    both = found.tokens[run], found.tokens[plain]
    *figures, prompts = curves.ratio(*both, 'kl_tuned_base', bootstrap, seed, found.samples)
    ratio, low, high = map(_known, figures)  # two runs may share no prompt
    row: Row = {'run': run, 'plain': plain, 'treatment': described(found.config, run)}
    row |= {'kl_ratio': ratio, 'kl_ratio_low': low, 'kl_ratio_high': high, 'prompts': prompts}
    for name in ('steps', 'kl_tuned_base', 'shifted'):
        row |= {name: rows[run][name], f'{name}_plain': rows[plain][name]}
    ours, theirs = (_lengths(found, each) for each in (run, plain))
    row |= {'response_tokens': _mean(list(ours.values())), 'response_tokens_plain': _mean(list(theirs.values()))}
    row |= _difference('response_tokens', ours, theirs, bootstrap, seed)
    for name in (*_ASKED, 'borrowed_share'):
        value, value_plain = (found.truths.get(each, {}).get(name) for each in (run, plain))
        if value is not None or value_plain is not None:
            row |= {name: value, f'{name}_plain': value_plain}
        if name in _ASKED and found.facts and value is not None and value_plain is not None:
            right, right_plain = (_right(found, each, _ASKED[name]) for each in (run, plain))
            row |= _difference(name, right, right_plain, bootstrap, seed)
    return row


def _lengths(found: Results, run: str) -> dict[tuple, float]:
    """Mean tokens of the responses to each prompt, the end token among them."""
    lengths: dict[tuple, list[int]] = {}
    for example, row in found.responses[run].items():
        key = prompt_of(example, found.samples), tuple(row['prompt_token_ids'])
        lengths.setdefault(key, []).append(len(row['token_ids']))
    return {key: float(np.mean(each)) for key, each in lengths.items()}


def _right(found: Results, run: str, kind: str) -> dict[str, float]:
    return truth.right(found.facts or {}, found.responses[run].values(), kind, found.samples)


def _difference(name: str, ours: Mapping[Any, float], theirs: Mapping[Any, float], bootstrap: int, seed: int) -> Row:
    """The mean difference over what both have, and its interval: none where nothing differs, as in no resample."""
    both = np.array([value - theirs[key] for key, value in ours.items() if key in theirs])
    low, high = intervals.ratio_intervals(both[:, None], np.ones((len(both), 1)), bootstrap, seed)
    ends = [_known(float(bound[0])) if both.any() else None for bound in (low, high)]
    return {f'{name}_difference': _mean(both), f'{name}_difference_low': ends[0], f'{name}_difference_high': ends[1]}


def _mean(values: Sequence[float] | np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _of_row(row: Row) -> str:
    line = (
        f'{row["run"]} ({row["treatment"]}) beside {row["plain"]}: mean KL(tuned ‖ base) '
        f'{number(row["kl_tuned_base"])} against {number(row["kl_tuned_base_plain"])} nats, ratio '
        f'{number(row["kl_ratio"])} [{number(row["kl_ratio_low"])}, {number(row["kl_ratio_high"])}]'
    )
    for name in ('response_tokens', *_ASKED):
        if row.get(name) is not None and row.get(f'{name}_plain') is not None:
            line += f'; {name.replace("_", " ")} {number(row[name])} against {number(row[f"{name}_plain"])}'
            line += _told(row, name)
    return f'{line}.'


def _told(row: Row, name: str) -> str:
    difference, low, high = (row.get(f'{name}_difference{end}') for end in ('', '_low', '_high'))
    if difference is None:
        return ''
    if low is None or high is None:
        return '' if difference else ' (no difference anywhere)'
    return f' (difference {difference:+.3g} [{low:.3g}, {high:.3g}])'


def _judged(found: Results, run: str, plain: str) -> list[Row]:
    """Paired differences of every judge and aspect: the treated run minus the plain one."""
    bootstrap, seed, rows = found.config['sweep']['bootstrap'], found.config['seed'], []
    for judge in found.judged.get(run, {}):
        if judge in found.judged.get(plain, {}):
            both = {each: found.judged[each][judge].judgements for each in (run, plain)}
            compared = comparison.compare(both, found.responses, found.samples, bootstrap, seed)
            names = ('aspect', 'difference', 'difference_low', 'difference_high', 'wilcoxon_p', 'prompts')
            rows += [
                {'run': run, 'plain': plain, 'judge': judge, **{key: row[key] for key in names}} for row in compared
            ]
    return rows


def _of_judged(rows: Sequence[Row]) -> list[str]:
    """Which aspects a treatment changes for certain, one line a run and judge."""
    lines = []
    for run, judge in dict.fromkeys((row['run'], row['judge']) for row in rows):
        known = [
            row for row in rows if (row['run'], row['judge']) == (run, judge) and row['difference_low'] is not None
        ]
        better = [f'{row["aspect"]} {row["difference"]:+.2f}' for row in known if row['difference_low'] > 0]
        worse = [f'{row["aspect"]} {row["difference"]:+.2f}' for row in known if row['difference_high'] < 0]
        told = [f'{word} on {", ".join(each)}' for word, each in (('better', better), ('worse', worse)) if each]
        plain = next(row['plain'] for row in rows if row['run'] == run)
        said = ' and '.join(told) or 'not certainly different on any aspect'
        lines.append(f'Judge {judge}: {run} is {said}, beside {plain}.')
    return lines
