"""What judges say about the runs: tables, and what the page shows of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from markupsafe import Markup

from jaxshift.judge import agreement, comparison
from jaxshift.judge.judgement import ASPECTS
from jaxshift.judge.scores import COUNTS
from jaxshift.report import drawings, judged_figures
from jaxshift.report.results import Results
from jaxshift.report.tables import Row

_MOST_PAIRS = 12  # of runs, in a figure
_MOST_ROWS = 60  # of a table on the page


def tables(found: Results, bootstrap: int, seed: int) -> dict[str, list[Row]]:
    """The tables by name; none where nothing was judged, and none without a row.

    `judged` has a row for each run, judge and aspect: `score`, `score_low`, `score_high`; `n`, responses with a score,
    of `prompts`; and how all responses ended, by `scores.COUNTS`. `judged_groups` has the same for every group of
    prompts; `judged_pairs` the rows of `comparison.compare`, Holm's adjustment within each judge; `judge_agreement`
    those of `agreement.agreement`, and `judged_preferences` those of `preferences.figures`.
    """
    verdicts = [(run, judge, each) for run, by_judge in found.judged.items() for judge, each in by_judge.items()]
    made = {
        'judged': [
            {'run': run, 'judge': judge, **row}
            for run, judge, each in verdicts
            for row in _means(each.summary['aspects'])
        ],
        'judged_groups': [
            {'run': run, 'judge': judge, 'field': group['field'], 'value': group['value'], **row}
            for run, judge, each in verdicts
            for group in each.summary['groups']
            for row in _means(group['aspects'])
        ],
        'judged_pairs': [],
        'judged_preferences': [
            {'run': run, **_preference(item)} for run, items in found.preferred.items() for item in items
        ],
        'judge_agreement': [
            {'run': run, 'one': one, 'other': other, **row}
            for run, by_judge in found.judged.items()
            for one, other in combinations(by_judge, 2)
            for row in agreement.agreement(by_judge[one].judgements, by_judge[other].judgements)
        ],
    }
    for name in dict.fromkeys(judge for _, judge, _ in verdicts):
        judged = {run: each.judgements for run, judge, each in verdicts if judge == name}
        rows = comparison.compare(judged, found.responses, found.samples, bootstrap, seed)
        made['judged_pairs'] += [{'judge': name, **row} for row in rows]
    made['judged_groups'].sort(key=lambda row: (row['field'], row['value']))  # the runs of a group stand together
    return {name: rows for name, rows in made.items() if rows}


def _means(aspects: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    rows = []
    for aspect, item in aspects.items():
        low, high = item['interval'] or (None, None)
        figures = {'aspect': aspect, 'score': item['mean'], 'score_low': low, 'score_high': high}
        rows.append({**figures, 'n': item['scored'], 'prompts': item['prompts'],
                     **{name: item['counts'][name] for name in COUNTS}})  # fmt: skip
    return rows


def _preference(item: Mapping[str, Any]) -> Row:
    low, high = item['interval'] or (None, None)
    rate = {'win_rate': item['win_rate'], 'win_rate_low': low, 'win_rate_high': high, 'sign_p': item['sign_p']}
    return {'judge': item['judge'], 'other': item['other'], 'prompts': item['prompts'], **rate, **item['counts']}


def draw(made: Mapping[str, Sequence[Row]], methods: Mapping[str, str], folder: Path) -> dict[str, Markup]:
    """Draws and saves, for each judge, the radar, the means and the differences; the SVGs by name.

    Args:
      made: `tables`.
      methods: run to method.
      folder: takes NAME.svg and NAME.png.
    """
    drawn = {}
    for judge, rows in _by_judge(made, 'judged').items():
        pairs = _by_judge(made, 'judged_pairs').get(judge, [])
        known = [row for row in rows if row['score'] is not None]
        if sum(aspect in {row['aspect'] for row in known} for aspect in ASPECTS) > 2:  # two make no area
            drawn[f'radar-{_slug(judge)}'] = judged_figures.radar(known, methods)
        if known:
            drawn[f'judged-{_slug(judge)}'] = judged_figures.means(known, methods)
        if pairs:
            drawn[f'differences-{_slug(judge)}'] = judged_figures.differences(_first_pairs(pairs))
    return {name: drawings.drawn(figure, folder, name) for name, figure in drawn.items()}


def sections(made: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """What the page shows of each judge: `rows`, `pairs` and `groups`, each with the number of those that are left to
    the files, and the names of its figures.
    """
    found = []
    for judge, rows in _by_judge(made, 'judged').items():
        groups, pairs = (_by_judge(made, name).get(judge, []) for name in ('judged_groups', 'judged_pairs'))
        found.append({
            'judge': judge,
            'slug': _slug(judge),
            'rows': rows[:_MOST_ROWS],
            'pairs': pairs[:_MOST_ROWS],
            'groups': groups[:_MOST_ROWS],
            'left': {
                'judged': len(rows[_MOST_ROWS:]),
                'judged_pairs': len(pairs[_MOST_ROWS:]),
                'judged_groups': len(groups[_MOST_ROWS:]),
            },
            'pairs_not_drawn': len({_runs(row) for row in pairs}) - len({_runs(row) for row in _first_pairs(pairs)}),
        })  # fmt: skip
    return found


def _by_judge(made: Mapping[str, Sequence[Row]], name: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in made.get(name, ()):
        found.setdefault(row['judge'], []).append(row)
    return found


def _runs(row: Row) -> tuple[str, str]:
    return row['first'], row['second']


def _first_pairs(pairs: Sequence[Row]) -> list[Row]:
    shown = list(dict.fromkeys(map(_runs, pairs)))[:_MOST_PAIRS]
    return [row for row in pairs if _runs(row) in shown]


def _slug(judge: str) -> str:
    """A judge's name as part of a file's name and of an id."""
    return re.sub(r'[^\w.-]', '_', judge)
