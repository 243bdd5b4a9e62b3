"""The section of style tokens: what kind of words are shifted, in which runs, and where they stand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from jaxshift.causes import rarefaction
from jaxshift.causes import style_tokens as causes
from jaxshift.causes.categories import CATEGORIES
from jaxshift.report import style, tables
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.style import token_text
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number

_NAME = 'style_tokens'
_MOST_TOKENS = 12  # of a pair of runs in the figure
_SIDES = ('lora', 'full')
# What is style has colour, what is not is grey; the end token stands apart.
_COLOURS = dict(
    zip(CATEGORIES, ('#0072B2', '#009E73', '#CC79A7', '#222222', '#BBBBBB', '#888888', '#E6E6E6'), strict=True)
)
_RULE = (
    'Each position counts for the token that the tuned model ranks first. Tokens are sorted by the word that they '
    'belong to: list markers, line ends and marks of formatting; openers of a sentence or clause such as “however” or '
    '“in summary”; polite and cautious words; the closed class of function words; and all other words. The words are '
    'English (jaxshift/causes/style_words.py). Rates in the table are posterior means, drawn towards the rate of all '
    'tokens the more the seldomer a token is chosen; the end token, marked (end), keeps its own rate and has no part '
    'in theirs.'
)


def section(found: Results) -> Section | None:
    """What style_tokens.json and its tables say."""
    runs = {run: items[_NAME] for run, items in found.explained.items() if _NAME in items}
    if not runs:
        return None
    tokens = {run: found.kept(run, f'{_NAME}.tokens') for run in runs}
    shares = {run: _shares(item['categories']) for run, item in runs.items()}
    rows = tables.overview(found.summaries, found.metrics, found.config['runs'], 'all')
    head = [row for row in found.of_headline(rows) if row['run'] in runs]
    pairs = [
        (why, lora['run'], full['run'], causes.side_by_side(tokens[lora['run']], tokens[full['run']], _SIDES))
        for why, full, lora in tables.counterparts(head)
    ]
    figures = {
        'style_categories': (categories(shares), 'What kind of words each run chooses where the base would not.')
    }
    if any(rows for *_, rows in pairs):
        figures['style_pairs'] = (
            side_by_side(pairs),
            'The tokens that are shifted most often in either run, without the end token: the form of the paper’s '
            'Figure 12, for two methods.',
        )
    return Section(
        'Style tokens',
        [_RULE, *(_of_run(run, share) for run, share in shares.items()), *(_of_pair(*pair) for pair in pairs)],
        {
            'style_by_count': by_count(tokens),
            'style_by_rate': by_rate(tokens),
            'style_pairs': [
                {'lora_run': lora, 'full_run': full, 'why': why, **row, 'token': token_text(row['token'])}
                for why, lora, full, rows in pairs
                for row in rows
            ],
            'style_contexts': [
                {'run': run, **_visible(row)} for run in runs for row in found.kept(run, f'{_NAME}.contexts')
            ],
            'style_categories': [{'run': run, **row} for run, item in runs.items() for row in item['categories']],
        },
        figures,
    )


def _shares(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    """The rows of `causes.of_categories` by positions counted and class, then category."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row['positions_counted'], row['shift_class']), {})[row['category']] = row
    return found


def _visible(row: Row) -> Row:
    around = {name: row[name].replace('\n', '⏎') for name in ('before', 'after')}
    return row | around | {name: token_text(row[name]) for name in ('token', 'base_choice')}


def by_count(tokens: Mapping[str, Sequence[Row]]) -> list[Row]:
    """A row a place, a column a run: the token, and how often it was shifted and marginal of how often chosen."""
    return _places(
        'place_by_count',
        {
            run: [
                f'{_named(row)}: {row["shifted"]} shifted, {row["marginal"]} marginal of {row["chosen"]}'
                for row in rows
            ]
            for run, rows in tokens.items()
        },
    )


def by_rate(tokens: Mapping[str, Sequence[Row]]) -> list[Row]:
    """A row a place, a column a run: the token, its smoothed rate, and how often it was shifted of how often chosen."""
    ranked = {
        run: sorted((row for row in rows if row['place_by_rate']), key=lambda row: row['place_by_rate'])
        for run, rows in tokens.items()
    }
    return _places(
        'place_by_rate',
        {
            run: [f'{_named(row)}: {number(row["shifted_rate"])} ({row["shifted"]} of {row["chosen"]})' for row in rows]
            for run, rows in ranked.items()
        },
    )


def _places(title: str, told: Mapping[str, Sequence[str]]) -> list[Row]:
    lines = itertools.zip_longest(*told.values(), fillvalue='')
    return [{title: place, **dict(zip(told, line, strict=True))} for place, line in enumerate(lines, 1)]


def _named(row: Row) -> str:
    return token_text(row['token']) + (' (end)' if row['is_end'] else '')


def _of_run(run: str, shares: Mapping[tuple[str, str], Mapping[str, Row]]) -> str:
    shifted, anything = shares['without_end', 'shifted'], shares['without_end', 'any']
    positions = sum(shifted[name]['positions'] for name in CATEGORIES if name in shifted)
    if not positions:
        return f'{run}: no position is shifted but at the end token.'
    ends = shares['all', 'shifted']['end of sequence']
    told = [
        f'{name} {_percent(shifted[name])}' for name in CATEGORIES if name in shifted and shifted[name]['positions']
    ]
    return (
        f'{run}: {counted(positions, "shifted position")} without the end token ({ends["positions"]:,} more are the '
        f'end token): {", ".join(told)}. Style (the first three kinds) is {_percent(shifted[causes.STYLE])} of them '
        f'and {_percent(anything[causes.STYLE])} of all positions.'
    )


def _percent(row: Row) -> str:
    spread = '' if row['percent_low'] is None else f' [{row["percent_low"]:.1f}, {row["percent_high"]:.1f}]'
    return f'{row["percent"]:.1f} %{spread}'


def _of_pair(why: str, lora: str, full: str, rows: Sequence[Row]) -> str:
    words = [row for row in rows if not row['is_end']]
    kinds = {name: [row for row in words if row['shifted_in'] == name] for name in ('both', *_SIDES)}
    content = {
        name: f'{sum(row["category"] == "content word" for row in kinds[name])} of {len(kinds[name])}' for name in kinds
    }
    counts = [{row['token_id']: row[f'shifted_{side}'] for row in words if row[f'shifted_{side}']} for side in _SIDES]
    both, ours, theirs, size = rarefaction.shared(*counts)
    return (
        f'{lora} (LoRA) and {full} (full, {why}): {counted(len(words), "token")} are shifted at least once in one of '
        f'them, {len(kinds["both"])} in both, {len(kinds["lora"])} in {lora} alone, {len(kinds["full"])} in {full} '
        f'alone; content words are {content["both"]}, {content["lora"]} and {content["full"]}. The run with more '
        f'shifted positions ({sum(counts[0].values()):,} and {sum(counts[1].values()):,}) has more tokens of its own '
        f'for that alone: of {counted(size, "position")} drawn from each, {both:.1f} tokens would be in both, '
        f'{ours:.1f} in {lora} alone, {theirs:.1f} in {full} alone. The paper finds style tokens under LoRA, and any '
        'token of the tuning data under full tuning.'
    )


@style.styled
def categories(shares: Mapping[str, Mapping[tuple[str, str], Mapping[str, Row]]]) -> Figure:
    """Shifted positions by category, with and without the end token, and all positions to hold them against."""
    bars = [
        ('all', 'shifted', 'shifted'),
        ('without_end', 'shifted', 'without end'),
        ('without_end', 'any', 'all positions'),
    ]
    lines = [(f'{run}: {name}' if not i else name, shares[run][which, kind])
             for run in shares for i, (which, kind, name) in enumerate(bars)]  # fmt: skip
    figure = Figure(figsize=(style.WIDTH, 1.3 + 0.24 * len(lines)))
    axes = figure.subplots()
    for place, (_, rows) in enumerate(lines):
        left = 0.0
        for name in CATEGORIES:
            width = rows[name]['percent'] or 0.0 if name in rows else 0.0
            axes.barh(place, width, left=left, height=0.74, color=_COLOURS[name], edgecolor='white', linewidth=0.5)
            left += width
    style.names_axis(axes, [style.label(name) for name, _ in lines])
    axes.set(xlim=(0, 100), xlabel='positions, %')
    axes.grid(visible=False)
    figure.legend(
        handles=[Patch(color=_COLOURS[name], label=name) for name in CATEGORIES], loc='outside upper left', ncols=4
    )
    return figure


@style.styled
def side_by_side(pairs: Sequence[tuple[str, str, str, Sequence[Row]]]) -> Figure:
    """For each pair its tokens: how often they are shifted in the LoRA run, to the left, and in the full one."""
    figure = Figure(figsize=(style.WIDTH, 0.4 + 3.2 * len(pairs)))
    for axes, (_, lora, full, rows) in zip(figure.subplots(len(pairs), 1, squeeze=False)[:, 0], pairs, strict=True):
        _butterfly(axes, [row for row in rows if not row['is_end']][:_MOST_TOKENS], lora, full)
    figure.supxlabel('shifted positions', fontsize=9)
    return figure


def _butterfly(axes: Axes, rows: Sequence[Row], lora: str, full: str) -> None:
    for side, sign in zip(_SIDES, (-1, 1), strict=True):
        counts = [row[f'shifted_{side}'] for row in rows]
        axes.barh(range(len(rows)), [sign * count for count in counts], color=style.colour(side), height=0.72)
        for place, count in enumerate(counts):
            axes.annotate(str(count), (sign * count, place), (4 * sign, 0), textcoords='offset points', va='center',
                          ha='left' if sign > 0 else 'right', fontsize=7.5)  # fmt: skip
    most = 1.15 * max((row[f'shifted_{side}'] for row in rows for side in _SIDES), default=1)
    axes.set_xlim(-most, most)
    axes.set_xticks([])
    axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.set_title(f'{style.label(lora)} (left) and {style.label(full)} (right)')
    style.names_axis(axes, [style.token_label(row['token']) for row in rows], _MOST_TOKENS)
