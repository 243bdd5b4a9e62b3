"""The section of length and style: how long and how formed responses are, beside the answers that tuning saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxshift.causes import imitation as causes
from jaxshift.judge.comparison import by_prompt
from jaxshift.report import style
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number

_NAME, _ASPECT = 'imitation', 'factuality'
_LENGTHS = ('characters', 'words', 'tokens')
_FORMS = ('sentences', 'list', 'heading', 'opener')
_WHO = {'data': 'tuning data', 'base': 'base', 'tuned': ''}
_OVER_PROMPTS = 'prompts of a run'
_NARROW = 0.25  # standard deviation of log2 lengths, below which a doubling was hardly seen
_RULE = (
    'Table 11 of the paper with its units apart (what it calls token lengths are almost certainly characters). A list '
    'has two items or more, each a line; a heading is a line of Markdown’s or in bold; an opener is a first word such '
    'as “however” or “sure”. Openings are the first three words: their overlap is one less the total variation, 1 '
    'where both open alike.'
)


def section(found: Results) -> Section | None:
    """What imitation.json says, and what judged scores say of length."""
    runs = {run: items[_NAME] for run, items in found.explained.items() if _NAME in items}
    if not runs:
        return None
    rows = lengths(runs)
    slopes = score_by_length(found)
    made: dict[str, Sequence[Row]] = {'lengths': rows, 'openings': openings(runs)}
    if slopes:
        made['score_by_length'] = slopes
    return Section(
        'Length and style of the responses',
        [_RULE, *_elsewhere(found, runs), *(_of_run(run, item) for run, item in runs.items()), *map(_of_slope, slopes)],
        made,
        {'lengths': (spread(rows), 'Tokens of a text: bars from the 5th to the 95th percentile, thick from the 25th to '
                     'the 75th; the dot is the median. What was cut at the greatest length counts as it is.')},
    )  # fmt: skip


def _elsewhere(found: Results, runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Which runs are held against data that they may not have been tuned on."""
    asked = found.config['runs']
    given = [
        run for run, item in runs.items() if asked.get(run, {}).get('method') == 'given' and item['sources'].get('data')
    ]
    return [f'{", ".join(given)}: tuned elsewhere, perhaps on other data than these.'] if given else []


def lengths(runs: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """One row for each distinct source and run: means with intervals, and the percentiles of tokens."""
    rows: list[Row] = []
    for run, item in runs.items():
        for source, profile in item['sources'].items():
            if profile is None:
                continue
            treatment = f' ({item["treatment"]})' if source == 'data' and item.get('treatment') else ''
            row: Row = {'source': source, 'text': (_WHO[source] or run) + treatment, 'texts': profile['texts']}
            for name in (*_LENGTHS, *_FORMS):
                row |= {name: profile[name]['mean'], f'{name}_low': profile[name]['low']}
                row |= {f'{name}_high': profile[name]['high']}
            quantiles = zip(causes.QUANTILES, profile['tokens']['quantiles'], strict=True)
            row |= {f'tokens_{percent}%': value for percent, value in quantiles}
            if row not in rows:  # data and base are the same for all runs, unless they are not
                rows.append(row)
    return sorted(rows, key=lambda row: [*_WHO].index(row['source']))


def openings(runs: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """One row for each run: how much it and the base open like the data."""
    return [{'run': run, **item['openings'], 'most_frequent': _first(item)} for run, item in runs.items()]


def _first(item: Mapping[str, Any]) -> str:
    ((text, count), *_) = item['sources']['tuned']['openings']
    return f'{text} ({count} of {item["sources"]["tuned"]["texts"]})'


def _of_run(run: str, item: Mapping[str, Any]) -> str:
    sources, opened = item['sources'], item['openings']
    told = [
        f'{_WHO[name] or run} {_mean(sources[name]["tokens"])}'
        for name in ('data', 'base', 'tuned')
        if sources.get(name)
    ]
    sentence = f'{run}: mean tokens of a text: {", ".join(told)}.'
    if opened['tuned'] is not None:
        base = f', those of the base {number(opened["base"])}' if opened['base'] is not None else ''
        chance = {'mean': opened['ceiling'], 'low': opened['ceiling_low'], 'high': opened['ceiling_high']}
        sentence += (
            f' Its openings overlap {number(opened["tuned"])} with those of the data{base}; as many answers of the '
            f'data would {_mean(chance)}.'
        )
    return sentence


def _mean(figure: Row) -> str:
    return f'{number(figure["mean"])} {_interval(figure["low"], figure["high"])}'.rstrip()


def _interval(low: float | None, high: float | None) -> str:
    return '' if low is None else f'[{number(low)}, {number(high)}]'


def score_by_length(found: Results) -> list[Row]:
    """The slope of factuality on log2(1 + tokens), for each judge: in each run over prompts, and within prompts."""
    drawn = found.config['sweep']['bootstrap'], found.config['seed']
    rows: list[Row] = []
    for judge in dict.fromkeys(judge for judges in found.judged.values() for judge in judges):
        points = _points(found, judge)
        runs = list(dict.fromkeys(run for run, *_ in points))
        for run in runs:
            score, length = np.array([point[2:] for point in points if point[0] == run]).T
            those = causes.slope(score, length, np.arange(len(score)), False, *drawn)
            rows.append({'judge': judge, 'run': run, 'compared': _OVER_PROMPTS, **those})
        if len(runs) > 1:
            places = {key: place for place, key in enumerate(dict.fromkeys(key for _, key, *_ in points))}
            prompt = np.array([places[key] for _, key, *_ in points])
            score, length = np.array([point[2:] for point in points]).T
            those = causes.slope(score, length, prompt, True, *drawn)
            rows.append({'judge': judge, 'run': ', '.join(runs), 'compared': 'runs on a prompt', **those})
    return rows


def _points(found: Results, judge: str) -> list[tuple[str, tuple, float, float]]:
    """Run, prompt, mean score and mean log2(1 + tokens) of the prompts that the judge scored."""
    return [
        (run, key, each.scores[_ASPECT], each.log_length / math.log(2))
        for run, judges in found.judged.items()
        if judge in judges
        for key, each in by_prompt(judges[judge].judgements, found.responses[run], found.samples).items()
        if _ASPECT in each.scores
    ]


def _of_slope(row: Row) -> str:
    about = f'{row["judge"]}, {row["run"]} ({row["compared"]}, {counted(row["prompts"], "prompt")})'
    if row['slope'] is None:
        return f'Factuality by judge {about}: lengths do not differ, so there is no slope.'
    if row['low'] is None:
        verdict = 'too few prompts for an interval'
    elif row['low'] <= 0 <= row['high']:
        verdict = 'the interval includes 0'
    else:
        verdict = 'longer is less true, as the paper says' if row['slope'] < 0 else 'longer is truer, unlike the paper'
    line = (
        f'Factuality by judge {about}: a response twice as long scores {row["slope"]:+.2f}, {verdict} '
        f'{_interval(row["low"], row["high"])}.'
    )
    if row['spread'] < _NARROW:
        line += f' Lengths hardly differ (standard deviation {row["spread"]:.2f} doublings): it is extrapolated.'
    if row['compared'] == _OVER_PROMPTS:
        return f'{line} It is no cause: a hard question may ask for length.'
    return f'{line} The question is held fixed, but the runs differ in more than length.'


@style.styled
def spread(rows: Sequence[Row]) -> Figure:
    """Percentiles of tokens, a line a text."""
    figure = Figure(figsize=(style.WIDTH, 1.1 + 0.3 * len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        low, first, middle, third, high = (row[f'tokens_{percent}%'] for percent in causes.QUANTILES)
        colour = '#0072B2' if row['source'] == 'tuned' else style.GREY
        axes.plot([low, high], [place, place], color=colour, linewidth=1.2)
        axes.plot([first, third], [place, place], color=colour, linewidth=5, solid_capstyle='butt')
        axes.plot(middle, place, 'o', color='white', markeredgecolor=colour, markersize=6)
    style.names_axis(axes, [style.label(row['text']) for row in rows])
    axes.set_xlim(left=0)
    axes.set_xlabel('tokens, without the end token')
    return figure
