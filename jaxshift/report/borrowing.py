"""Borrowing on the page: spans beside the null corpus, the rows that they came from, and runs trained without these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from jaxshift.report import style
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number

Found = Mapping[str, Any]  # the object of a borrowing.json

# What is compared with the null corpus, in the order of the table; the first three are drawn.
_WORDS = {
    'words_shifted': 'words that begin with a shifted token',
    'words_marginal': 'words that begin with a marginal token',
    'words_unshifted': 'words that begin with an unshifted token',
}
_PROOF = 'borrowing.retrained'
_DRAWN = ('covered', 'words_shifted', 'words_marginal')
_SPANS_OF_A_RUN = 5  # in the table; the page shows the strongest of all runs


def section(found: Results) -> Section | None:
    """The part of the page; None without a run that borrowing was asked of."""
    by_run = {run: each['borrowing'] for run, each in found.explained.items() if 'borrowing' in each}
    if not by_run:
        return None
    methods = {run: found.config['runs'].get(run, {}).get('method', '') for run in by_run}
    rows = shares(by_run)
    proofs = {run: each[_PROOF] for run, each in found.explained.items() if run in by_run and _PROOF in each}
    tables = {
        'borrowing': rows,
        'borrowing_spans': _spans(by_run),
        'borrowing_retrained': [_proof(run, each) for run, each in proofs.items() if each['n']],
        'borrowing_strata': [
            {'run': run, 'by': each['by'], 'stratum': each['stratum']} | _beside(each) | {'p': each['p']}
            for run, item in by_run.items()
            for each in item['strata']
        ],
    }
    return Section(
        'Borrowing from the tuning data',
        [
            _null(by_run),
            *(_of_run(run, each, methods[run]) for run, each in by_run.items()),
            *map(_proved, proofs, proofs.values()),
        ],
        {name: items for name, items in tables.items() if items},
        {'borrowing': (figure(rows, methods), _CAPTION)},
    )


_CAPTION = (
    'What of the responses stands in the tuning data (filled) and in the null corpus of equal size (hollow); bars: '
    '95 % intervals over prompts. Of words that begin with a shifted and with a marginal token arXiv 2402.05119 gives '
    '81.2 % and 66.7 % under full tuning, without a null.'
)


def shares(by_run: Mapping[str, Found]) -> list[Row]:
    """One row for each figure and run, in percent; figures first, so that runs stand below each other."""
    rows = []
    for name in ('covered', *_WORDS, 'ngrams_1', 'ngrams_2', 'ngrams_3'):
        for run, item in by_run.items():
            kind, _, key = name.partition('_')
            each = item[kind][key] if key else item[kind]
            share = {'run': run, 'figure': name, 'what': _what(name, item)} | _beside(each, 100)
            rows.append(share | {'p': each.get('p')})
    return rows


def _what(name: str, item: Found) -> str:
    if name == 'covered':
        return f'tokens in spans of {item["least"]} tokens and more'
    return _WORDS.get(name) or f'{name[-1]}-grams'


def _beside(each: Found, scale: float = 1) -> Row:
    values = {name: each[name]['mean'] for name in ('tuning', 'null', 'difference')}
    for name in tuple(values):
        values[f'{name}_low'], values[f'{name}_high'] = each[name]['interval'] or (None, None)
    scaled = {name: None if value is None else scale * value for name, value in values.items()}
    return {'n': each['n'], 'prompts': each['prompts'], **scaled}


# What was left out of the corpora, by the names of a borrowing.json.
_LEFT_OUT = {
    'copies': 'copies of rows of the tuning data',
    'asked': 'rows that answer a prompt',
    'null_refused': 'records of the null corpus that cannot be tokenised',
    'null_copies': 'copies of its rows',
    'null_asked': 'of its rows that answer a prompt',
    'null_trained': 'of its rows that stand in the tuning data too',
}


def _null(by_run: Mapping[str, Found]) -> str:
    said: dict[str, list[str]] = {}
    for run, item in by_run.items():
        said.setdefault(_corpora(item), []).append(run)
    corpora = [each if len(said) == 1 else f'Of {", ".join(runs)}: {each}' for each, runs in said.items()]
    return (
        'Any common phrase stands in any text, so everything is looked up a second time, in a null corpus. '
        f'{" ".join(corpora)} Spans that the own prompt holds are no borrowing; words and n-grams of it count on both '
        'sides. Intervals are over prompts, with both corpora as they are; p holds the choice of rows to chance: rows '
        'of both change places. The p of a length is that of spans at least as long, so the first is that of all '
        'spans; they are not corrected for their number. “Chance” of a phrase is the share of chance that is expected '
        'among phrases that go at least as far beyond the null corpus, by counting those of the null corpus that go '
        'as far beyond the tuning data.'
    )


def _corpora(item: Found) -> str:
    left_out = [f'{item["left_out"][name]:,} {what}' for name, what in _LEFT_OUT.items() if item['left_out'][name]]
    told = f' Left out are {", ".join(left_out)}.' if left_out else ''
    seen = f'embeddings of {item["encoder"]}' if item['encoder'] else 'mean hidden states of the base'
    return (
        f'It is {item["null_is"]}. {counted(item["rows"], "row")} of the tuning data ({item["all_rows"]:,} in all) of '
        f'{item["tokens"]:,} tokens are held against {counted(item["null_rows"], "row")} of {item["null_tokens"]:,} '
        f'tokens.{told} Rows are ranked by BM25, and by {seen}.'
    )


def _of_run(run: str, item: Found, method: str) -> str:
    each, without = item['covered'], item['left_out']['responses']
    elsewhere = ' It was tuned elsewhere, on data that may not be these.' if method == 'given' else ''
    few = f' {counted(without, "response")} without a word, or without records, are left out.' if without else ''
    return (
        f'Run {run}: {_percent(each["tuning"])} of the tokens stand in spans of at least {item["least"]} tokens that '
        f'the tuning data have, {_percent(each["null"])} in such of the null corpus; difference '
        f'{_percent(each["difference"])}, p = {number(each["p"])}. Of words that begin with a shifted token '
        f'{_percent(item["words"]["shifted"]["tuning"])} occur in the tuning data and '
        f'{_percent(item["words"]["shifted"]["null"])} in the null corpus. {_called(item["borrowed"])} '
        f'{_classes(item)}{few}{elsewhere}'
    )


def _called(item: Found) -> str:
    beyond, rate = f'Of {counted(item["suspected"], "phrase")} beyond the null corpus', item['rate']
    if item['phrases']:
        called = f'{item["phrases"]:,} are called borrowed'
        return f'{beyond} {called}; at most {100 * rate:.0f} % of these are expected to be chance.'
    least = '' if item['least_chance'] is None else f', the least chance of one is {number(item["least_chance"])}'
    never = f'; of fewer than {math.ceil(1 / rate)} none can be' if item['suspected'] < 1 / rate else ''
    return f'{beyond} none is called borrowed{least}{never}.'


def _classes(item: Found) -> str:
    kind = 'borrowed' if item['span_tokens']['borrowed']['n'] else 'spans'
    inside, outside = (item['span_tokens'][name]['shifted_or_marginal'] for name in (kind, 'elsewhere'))
    where = 'borrowed spans' if kind == 'borrowed' else 'spans of the tuning data'
    return f'Shifted or marginal are {_percent(inside)} of the tokens in {where}, {_percent(outside)} outside of spans.'


def _percent(figure: Found) -> str:
    if figure['mean'] is None:
        return '–'
    return f'{100 * figure["mean"]:.1f} %{_interval(figure, 100, ".1f")}'


def _interval(figure: Found, scale: float, form: str) -> str:
    """An interval in brackets behind its mean, where there is one."""
    if figure['interval'] is None:
        return ''
    low, high = figure['interval']
    return f' [{scale * low:{form}}, {scale * high:{form}}]'


def _spans(by_run: Mapping[str, Found]) -> list[Row]:
    rows = [
        {
            'run': run,
            'example': each['example_id'],
            'response': f'{each["before"]} ⟦{each["span"]}⟧ {each["after"]}'.strip(),
            'tokens_beyond_null': each['beyond_null'],
            'chance': each['chance'],
            'rows': each['rows'],
            'first_row_by_BM25': f'{each["row_by_bm25"]["id"]}: {each["row_by_bm25"]["text"]}',
            'first_row_by_embedding': each['row_by_embedding']['id'],
        }
        for run, item in by_run.items()
        for each in item['examples'][:_SPANS_OF_A_RUN]
    ]
    return sorted(rows, key=lambda row: (row['chance'], -row['tokens_beyond_null']))


def _proof(run: str, each: Found) -> Row:
    row = {'run': run, **{name: each[name] for name in ('rows', 'left_out', 'phrases')}, 'tokens': each['n']}
    for name in ('as_trained', 'change_suspected', 'change_random', 'difference', 'between_controls'):
        low, high = each[name]['interval'] or (None, None)
        row |= {name: each[name]['mean'], f'{name}_low': low, f'{name}_high': high}
    return row


def _proved(run: str, each: Found) -> str:
    if not each['n']:
        few = f'as few as a tenth of the {each["rows"]:,} rows'
        return f'Run {run} was not trained again: no suspected phrase stands in {few}.'
    names = ('change_suspected', 'change_random', 'difference', 'between_controls')
    suspected, random, difference, noise = (_nats(each[name]) for name in names)
    low, high = each['difference']['interval'] or (0, 0)
    verdict = 'beyond what both controls differ by, this is what these rows did to one training'
    verdict = 'the interval holds 0, so nothing is proved' if low <= 0 <= high else verdict
    return (
        f'Proof for run {run}: trained again without the {counted(each["left_out"], "row")} that '
        f'{counted(each["phrases"], "suspected phrase")} came from, it gives their {each["n"]:,} tokens {suspected} '
        f'nats a token of log-probability; without as many random other rows of like length {random}, the mean of two '
        f'controls that differ by {noise}. The difference is {difference}; {verdict}. One training each: the '
        'intervals are over prompts, and hold neither the spread of training nor that of the draw.'
    )


def _nats(figure: Found) -> str:
    return f'{figure["mean"]:+.3f}{_interval(figure, 1, "+.3f")}'


@style.styled
def figure(rows: Sequence[Row], methods: Mapping[str, str]) -> Figure:
    """A panel for each drawn figure, a line for each run; `rows` are those of `shares`."""
    looks = style.run_styles(methods)
    drawn = Figure(figsize=(style.WIDTH, 0.9 + 0.3 * len(looks)))
    panels = drawn.subplots(1, len(_DRAWN), sharey=True)
    for axes, name in zip(panels, _DRAWN, strict=True):
        kept = [row for row in rows if row['figure'] == name]
        axes.set_title('\n'.join(_wrapped(kept[0]['what'])))
        for row in kept:
            place, look = list(looks).index(row['run']), looks[row['run']]
            for which, shift in (('tuning', -0.13), ('null', 0.13)):
                if row[which] is not None:
                    axes.errorbar(
                        row[which], place + shift, xerr=style.errors(row, which), capsize=3, linestyle='none',
                        color=look['color'], marker=look['marker'], clip_on=False,
                        markerfacecolor=look['color'] if which == 'tuning' else 'white',
                    )  # fmt: skip
        style.names_axis(axes, [style.label(run) for run in looks])
    drawn.supxlabel('percent; filled: tuning data; hollow: null corpus; bars: 95 % intervals', fontsize=8)
    return drawn


def _wrapped(text: str) -> list[str]:
    words = text.split()
    half = math.ceil(len(words) / 2)
    return [' '.join(words[:half]), ' '.join(words[half:])]
