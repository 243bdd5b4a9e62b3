"""The controlled world's ground truth: what the figures of a truth.json mean, and how far questions support them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxshift.report.tables import Row
from jaxshift.shift.intervals import wilson

BASE = 'base_'  # begins the name of a figure of the untuned model


class Figure(NamedTuple):
    """A figure of `causes.truth`.

    Attributes:
      title, meaning: for readers.
      cases: the name of the number of cases behind it.
      of_questions: whether it is a share of questions, which are independent of each other.
    """

    title: str
    meaning: str
    cases: str
    of_questions: bool = False


FIGURES = {
    'held_out_accuracy': Figure(
        'held-out accuracy',
        'right answers to questions about people whom the base knows and tuning never names.',
        'held_out_n', of_questions=True,
    ),
    'new_fact_accuracy': Figure(
        'new-fact accuracy',
        'right answers to questions about people whom the base does not know and tuning teaches.',
        'new_fact_n', of_questions=True,
    ),
    'broken_share': Figure(
        'broken answers',
        'held-out answers that give no value, repeat a word on the spot, or do not end.',
        'held_out_n', of_questions=True,
    ),
    'house_style_share': Figure(
        'house style',
        'held-out answers that open and close as the instruction data do.',
        'held_out_n', of_questions=True,
    ),
    'mean_response_words': Figure('words in an answer', 'mean length of held-out answers.', 'held_out_n'),
    'borrowed_share': Figure(
        'borrowed answers',
        'of the wrong held-out answers that are not broken, those that the tuning data state of someone who shares a '
        'name with the person asked about.',
        'wrong_n', of_questions=True,
    ),
    'borrowed_null': Figure(
        'borrowed by chance', 'the same share if wrong answers had nothing to do with names.', 'wrong_n'
    ),
    'borrowed_p': Figure(
        'p of borrowing', 'how often chance alone borrows as much: a one-sided permutation test.', 'wrong_n'
    ),
    'kl_at_values': Figure(
        'KL at values', 'mean KL(tuned ‖ base), nats, where a held-out answer names a value, such as a town.', 'value_n'
    ),
    'kl_elsewhere': Figure('KL elsewhere', 'the same at all other words.', 'other_n'),
    'value_share_of_shifted': Figure(
        'values among shifted', 'share of values among the shifted tokens of held-out answers.', 'shifted_n'
    ),
    'style_share_of_shifted': Figure(
        'style among shifted', 'the same of words that the house style has and plain statements lack.', 'shifted_n'
    ),
}  # fmt: skip


def rows(truths: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """One row for each run and figure of its truth.json (run -> its object), those of the base among them.

    Shares of independent questions get Wilson's 95 % interval, which is not empty at 0 and 1. Figures over positions
    get none here: positions of one response depend on each other.
    """
    found = []
    for run, item in truths.items():
        for name, value in item.items():
            if name.endswith(('_n', '_se')):
                continue
            figure = figure_of(name)
            n = item.get(f'{BASE if name.startswith(BASE) else ""}{figure.cases}')
            low = high = None
            if figure.of_questions and n and value is not None:
                low, high = wilson(value, n)
            found.append({'run': run, 'name': name, 'value': value, 'low': low, 'high': high, 'n': n})
    return found


def figure_of(name: str) -> Figure:
    """What is known of a figure, or of the same figure of the base; one without an entry has its name as title."""
    plain = name.removeprefix(BASE)
    return FIGURES.get(plain, Figure(plain.replace('_', ' '), '', ''))


def add_to_overview(overview: list[Row], truth: list[Row]) -> None:
    """Gives rows of `tables.overview` the figures of their run as columns `<name>`, `<name>_low`, `<name>_high`."""
    for row in overview:
        for item in truth:
            if item['run'] == row['run']:
                name = item['name']
                row |= {name: item['value'], f'{name}_low': item['low'], f'{name}_high': item['high']}


def table(truth: list[Row]) -> list[dict[str, Any]]:
    """Lines of the page, one for each figure: the figure, and its row of `rows` for the base and for each run."""
    item = {(row['run'], row['name']): row for row in truth}
    runs = list(dict.fromkeys(row['run'] for row in truth))
    names = dict.fromkeys(row['name'].removeprefix(BASE) for row in truth)
    return [
        {
            'figure': figure_of(name),
            'cells': [item.get((runs[0], BASE + name)), *(item.get((run, name)) for run in runs)],
        }
        for name in names
    ]
