"""What the example browser of the page shows: prompts, and the responses of every run token by token."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from jaxshift.report import positions
from jaxshift.report.islands import Column, island
from jaxshift.report.results import Results
from jaxshift.report.tables import Row
from jaxshift.shift import records, summary

Reader = Callable[[Sequence[int]], list[str]]  # token ids of a text -> the text that each begins

_LEAST_BYTES = 6  # a position takes so many at the least: where both models agree, 8 to 11
_WHOSE = {'own': 'its own response', 'base': 'the base’s response', 'reference': 'the reference answer'}
_Key = tuple[str, tuple[int, ...]]  # an example: its id, and what was asked, since another file may use the same ids


class View(NamedTuple):
    """Responses as one run saw them.

    Attributes:
      about: run, method, context, and whose response it is in words.
      rows: the token records, example by example.
      lengths: [E], positions of each example; zero for one that the run has not.
      spans: columns of what in the responses stands in the tuning data; none where that was not asked.
    """

    about: Mapping[str, Any]
    rows: pa.Table
    lengths: np.ndarray
    spans: Mapping[str, Column]


@dataclass(frozen=True)
class Browser:
    """What the page includes.

    Attributes:
      islands: elements with the data.
      examples: prompts that they hold.
      left_out: prompts that there was no room for.
      unanswered: prompts of which no run has a position, because every response is empty.
      least: probability below which lists leave out tokens.
    """

    islands: Markup
    examples: int
    left_out: int
    unanswered: int
    least: float = positions.LEAST


def browser(found: Results, reader: Reader, end_ids: Collection[int], most_bytes: int) -> Browser:
    """The islands of the examples that any run has records of, in the order in which they were answered.

    Those beyond `most_bytes` of islands are left out.
    """
    lengths = _lengths(found)
    asked = _examples(found)
    examples = [key for key in asked if any(key in each for each in lengths.values())]
    ends = np.cumsum([sum(each.get(key, 0) for each in lengths.values()) for key in examples])
    count = int(np.searchsorted(ends, most_bytes // _LEAST_BYTES, 'right'))
    while True:
        islands = _islands(found, examples[:count], reader, end_ids)
        if len(islands) <= most_bytes or not count:
            return Browser(islands, count, len(examples) - count, len(asked) - len(examples))
        count = int(0.95 * count * most_bytes / len(islands))


def _examples(found: Results) -> dict[_Key, str | None]:
    """The text of every prompt, None where it is unknown."""
    texts: dict[_Key, str | None] = {}
    for rows in found.responses.values():
        for example, row in rows.items():
            texts.setdefault(_key(example, row), row.get('prompt'))
    return texts


def _key(example: str, response: Mapping[str, Any]) -> _Key:
    return example, tuple(response['prompt_token_ids'])


def _lengths(found: Results) -> dict[tuple[str, str], dict[_Key, int]]:
    """Positions of each example by run and context."""
    lengths: dict[tuple[str, str], dict[_Key, int]] = {}
    for run in found.tokens:
        for context, rows in _recorded(found, run, ['example_id', 'position']):
            for count in rows.group_by('example_id', use_threads=False).aggregate([([], 'count_all')]).to_pylist():
                example = count['example_id']
                if example in found.responses[run]:
                    key = _key(example, found.responses[run][example])
                    lengths.setdefault((run, context), {})[key] = count['count_all']
    return lengths


def _recorded(
    found: Results, run: str, columns: Sequence[str], examples: Collection[str] | None = None
) -> list[tuple[str, pa.Table]]:
    """The records of every context, of the headline's template and length, and of the last step."""
    names = [*summary.GROUP, *(['step'] if 'step' in found.summaries[run][0] else []), *columns]
    tables: dict[str, pa.Table] = {}
    for key, rows in summary.groups(records.read(found.workdir.run(run) / 'tokens', names, examples)):
        if all(key[name] == found.headline[name] for name in ('template', 'context_length')):
            tables.setdefault(key['context'], rows)
    return list(tables.items())


def _islands(found: Results, examples: Sequence[_Key], reader: Reader, end_ids: Collection[int]) -> Markup:
    views = [view for run in found.tokens for view in _views(found, run, examples)]
    tokens, places = positions.numbered([positions.used(view.rows) for view in views])
    texts = [reader([int(token)])[0] for token in tokens]
    prompts = _examples(found)
    about = {
        'views': [view.about for view in views],
        'codes': {name: {'scale': code.scale, 'per': code.per} for name, code in positions.CODES.items()},
        'nowhere': positions.NOWHERE,
    }
    shared: dict[str, Column] = {
        'ids': [example for example, _ in examples],
        'prompts': [prompts[key] or '' for key in examples],
        'token_texts': texts,
        'ends': np.flatnonzero(np.isin(tokens, list(end_ids))).astype(np.uint32),
    }
    return Markup('\n').join(
        [
            island('examples', shared, about),
            *(island(f'view-{n}', _columns(view, places, texts, reader)) for n, view in enumerate(views)),
        ]
    )


def _views(found: Results, run: str, examples: Sequence[_Key]) -> list[View]:
    order = {
        example: number
        for number, (example, asked) in enumerate(examples)
        if example in found.responses[run] and _key(example, found.responses[run][example]) == (example, asked)
    }
    views = []
    for context, rows in _recorded(found, run, ['position', *positions.COLUMNS, 'example_id'], order):
        number = np.array([order[example] for example in rows['example_id'].to_pylist()], np.int64)
        rows = rows.take(np.lexsort((rows['position'].to_numpy(), number)))
        about: dict[str, Any] = {
            'run': run,
            'context': context,
            'method': _method(found, run),
            'whose': _whose(found, context),
        }
        spans = _borrowed(found, run, order) if context == 'own' else {}
        about['spans'] = len(spans.get('span_borrowed', []))
        about['borrowed'] = int(np.sum(spans.get('span_borrowed', 0)))
        views.append(View(about, rows, np.bincount(number, minlength=len(examples)), spans))
    return views


def _borrowed(found: Results, run: str, order: Mapping[str, int]) -> dict[str, Column]:
    """Spans of the tuning data in the responses: example, first position, length, whether it is called borrowed, and
    the number of its row, where that was looked for; the rows: id, text, and how many rows hold the span."""
    if 'borrowing' not in found.explained.get(run, {}):
        return {}
    rows: dict[str, Row] = {}
    for row in sorted(found.kept(run, 'borrowing.rows'), key=itemgetter('bm25_rank')):
        rows.setdefault(row['span'], row)  # the likeliest comes first
    numbers = {span: number for number, span in enumerate(rows, 1)}
    spans = [span for span in found.kept(run, 'borrowing.spans') if span['example_id'] in order]
    return {
        'span_example': np.array([order[span['example_id']] for span in spans], np.uint32),
        'span_position': np.array([span['position'] for span in spans], np.uint32),
        'span_tokens': np.array([span['tokens'] for span in spans], np.uint32),
        'span_borrowed': np.array([span['borrowed'] for span in spans], np.uint8),
        'span_row': np.array([numbers.get(span['text'], 0) for span in spans], np.uint32),
        'row_ids': [str(row['example_id']) for row in rows.values()],
        'row_texts': [row['text'] for row in rows.values()],
        'row_counts': np.array([row['rows'] for row in rows.values()], np.uint32),
    }


def _method(found: Results, run: str) -> str:
    return found.summaries[run][0].get('method', found.config['runs'].get(run, {}).get('method', ''))


def _whose(found: Results, context: str) -> str:
    whose = found.config['sweep'].get('shared_from') or next(iter(found.config['runs']))
    return _WHOSE.get(context, _WHOSE['base'] if whose == 'base' else f'the response of {whose}')


def _columns(view: View, places: np.ndarray, texts: Sequence[str], reader: Reader) -> dict[str, Column]:
    at, other = _divided(view, places, texts, reader)
    return {
        'lengths': view.lengths.astype(np.uint32),
        **positions.columns(view.rows, places),
        'divided': np.array(at, np.uint32),
        'divided_texts': other,
        **view.spans,
    }


def _divided(view: View, places: np.ndarray, texts: Sequence[str], reader: Reader) -> tuple[list[int], list[str]]:
    """Where a token reads otherwise than alone, since it begins a character or goes on with one, and how it reads."""
    at, other, start = [], [], 0
    ids = view.rows['token_id'].to_numpy()
    for length in view.lengths.tolist():
        response = ids[start : start + length].tolist()
        for place, (token, text) in enumerate(zip(response, reader(response), strict=True), start):
            if text != texts[places[token]]:
                at.append(place)
                other.append(text)
        start += length
    return at, other
