"""One response of a run as HTML for a notebook: tokens marked by class, their measures where one points at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, StrictUndefined

from jaxshift.errors import InputError, near
from jaxshift.report.style import token_text
from jaxshift.report.tables import Row
from jaxshift.report.wording import number
from jaxshift.shift.classes import CLASSES
from jaxshift.shift.curves import Pieces

_MOST = 5  # likeliest tokens of each model that a title names


@dataclass(frozen=True)
class View:
    """HTML that a notebook shows; `html` is its text."""

    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f'<View: {len(self.html):,} characters of HTML, which a notebook shows; .html has them>'


def chosen(rows: pa.Table, example: str | None) -> pa.Table:
    """The rows of one example; of the one with the greatest mean KL(tuned || base) where none is named.

    Raises:
      InputError: there is no such example.
    """
    if example is None:
        means = rows.group_by('example_id').aggregate([('kl_tuned_base', 'mean')])
        means = means.sort_by([('kl_tuned_base_mean', 'descending'), ('example_id', 'ascending')])
        example = means['example_id'][0].as_py()
    found = rows.filter(pc.equal(rows['example_id'], example))
    if not found.num_rows:
        known = pc.unique(rows['example_id']).to_pylist()
        told = f'did you mean {name}? ' if (name := near(example, known)) else ''
        raise InputError(f'no example {example!r} among {len(known)}; {told}.tokens has all of them')
    return found


def view(rows: pa.Table, texts: Sequence[str], pieces: Pieces, title: str, prompt: str) -> View:
    """The view of a response.

    Args:
      rows: its token records, in order.
      texts: what each token begins of the response's text (see `explain.pieces`).
      pieces: token id -> decoded text.
      title: what is shown.
      prompt: what was asked; empty: unknown.
    """
    found = rows.to_pylist()
    # A part of somebody else's page: it brings its own style, and has no script.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters['number'] = number
    html = environment.from_string(Path(__file__).with_name('notebook.html').read_text(encoding='utf-8')).render(
        title=title,
        prompt=prompt,
        counts={name: sum(row['shift_class'] == name for row in found) for name in CLASSES},
        mean_kl=sum(row['kl_tuned_base'] for row in found) / len(found),
        spans=_spans(found, texts, pieces),
    )
    return View(html)


def _spans(rows: Sequence[Row], texts: Sequence[str], pieces: Pieces) -> list[Row]:
    """Text, class and title of what can be pointed at: a token, or those that make one character together.

    Such tokens have the class of the one that shifted most.
    """
    spans: list[Row] = []
    for row, text in zip(rows, texts, strict=True):
        if text or not spans:
            # A line end has no width of its own to be underlined.
            spans.append({'text': text.replace('\n', '⏎\n') if text else token_text(text), 'classes': [], 'titles': []})
        spans[-1]['classes'].append(row['shift_class'])
        spans[-1]['titles'].append(_title(row, pieces))
    return [
        {
            'text': span['text'],
            'shift_class': max(span['classes'], key=CLASSES.index),
            'title': '\n\n'.join(span['titles']),
        }
        for span in spans
    ]


def _title(row: Row, pieces: Pieces) -> str:
    likeliest = '\n'.join(f'{model}: {_listed(row, model, pieces)}' for model in ('base', 'tuned'))
    return (
        f'{token_text(pieces[row["token_id"]])} at position {row["position"]}, {row["shift_class"]}\n'
        f"base rank {row['base_rank']} of the tuned model's likeliest token\n"
        f'KL(tuned ‖ base) {number(row["kl_tuned_base"])} nats\n'
        f'probability of this token: base {_percent(row["emitted_base_logprob"])} '
        f'(rank {row["emitted_base_rank"]}), tuned {_percent(row["emitted_tuned_logprob"])} '
        f'(rank {row["emitted_tuned_rank"]})\n{likeliest}'
    )


def _listed(row: Row, model: str, pieces: Pieces) -> str:
    pairs = zip(row[f'top_ids_{model}'][:_MOST], row[f'top_logprobs_{model}'][:_MOST], strict=True)
    return ', '.join(f'{token_text(pieces[token])} {_percent(logprob)}' for token, logprob in pairs)


def _percent(logprob: float) -> str:
    return f'{number(100 * math.exp(logprob))} %'
