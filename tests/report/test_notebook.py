"""The response that a notebook shows: its text, its marks, its titles, and hostile text in any of them."""

from html.parser import HTMLParser

import numpy as np
import pytest
from made_up import PIECES

from jaxshift.errors import InputError
from jaxshift.report import notebook
from jaxshift.shift import records

HOSTILE = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>\u2028\x1b]0;x\x07'


class Spans(HTMLParser):
    """Every element with its attributes, and the text of spans that have a title."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.inside = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag == 'span' and 'title' in dict(attrs)
        if self.inside:
            self.text.append('')

    def handle_data(self, data):
        if self.inside:
            self.text[-1] += data

    def handle_endtag(self, tag):
        self.inside = False

    @property
    def tokens(self):
        return [attrs for tag, attrs in self.elements if tag == 'span' and 'title' in attrs]


def rows(ids, ranks, kl, name='q0'):
    size = len(ids)
    measures = {each: np.full(size, np.log(0.25), np.float32) for each in records.MEASURES}
    measures |= {each: np.asarray(ids) for each in ('token_id', 'base_argmax_id', 'tuned_argmax_id')}
    measures |= dict.fromkeys(('base_rank', 'emitted_base_rank'), np.asarray(ranks)) | {'kl_tuned_base': np.asarray(kl)}
    measures |= {'emitted_tuned_rank': 5 * np.ones(size)}
    measures |= {each: np.array([[id_, 9] for id_ in ids]) for each in ('top_ids_base', 'top_ids_tuned')}
    likely = np.log(np.tile([0.5, 0.125], (size, 1)))
    measures |= dict.fromkeys(('top_logprobs_base', 'top_logprobs_tuned'), likely)
    return records.table('lora', 'own', 'matched', -1, [name] * size, measures, positions=np.arange(size))


def test_every_token_has_its_class_and_tells_its_measures():
    table = rows([8, 11, 12], [7, 2, 1], [1.25, 0.5, 0.0])
    spans = Spans(notebook.view(table, [' Paris', '.', '\n'], PIECES, 'lora, q0', 'Where?').html)
    assert [each['class'] for each in spans.tokens] == ['shifted', 'marginal', 'unshifted']
    assert spans.text == [' Paris', '.', '⏎\n']
    title = spans.tokens[0]['title'].splitlines()
    assert title == [
        '␣Paris at position 0, shifted',
        "base rank 7 of the tuned model's likeliest token",
        'KL(tuned ‖ base) 1.25 nats',
        'probability of this token: base 25.0 % (rank 7), tuned 25.0 % (rank 5)',
        'base: ␣Paris 50.0 %, ␣baker 12.5 %',
        'tuned: ␣Paris 50.0 %, ␣baker 12.5 %',
    ]


def test_tokens_of_one_character_are_one_and_as_shifted_as_the_most_shifted():
    table = rows([8, 11, 12, 13], [1, 1, 4, 2], [0.0, 0.0, 1.0, 0.2])
    spans = Spans(notebook.view(table, ['a', '京', '', ''], PIECES, 'lora', '').html)
    assert spans.text == ['a', '京']
    assert [each['class'] for each in spans.tokens] == ['unshifted', 'shifted']
    assert [line for line in spans.tokens[1]['title'].splitlines() if ' at position ' in line] == [
        '. at position 1, unshifted', '⏎ at position 2, shifted', '␣$5 at position 3, marginal',
    ]  # fmt: skip


def test_marks_are_more_than_colour():
    html = notebook.view(rows([8], [1], [0.0]), ['x'], PIECES, 'lora', '').html
    assert '.jaxshift .marginal' in html
    assert 'border-bottom: 2px dotted' in html
    assert 'border-bottom: 3px solid' in html


def test_what_a_token_tells_is_reached_by_keyboard(opened, tmp_path):
    html = notebook.view(rows([8, 9], [7, 1], [1.0, 0.0]), ['x', 'y'], PIECES, 'lora', '').html
    (tmp_path / 'view.html').write_text(f'<!doctype html><meta charset="utf-8">{html}', encoding='utf-8')
    page = opened(tmp_path / 'view.html').page
    page.keyboard.press('Tab')
    told = page.evaluate('getComputedStyle(document.activeElement, "::after").content')
    assert 'KL(tuned ‖ base) 1.00 nats' in told
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.textContent') == 'y'


def test_hostile_text_is_inert():
    pieces = [HOSTILE] * len(PIECES)
    html = notebook.view(rows([8, 9], [1, 5], [0.0, 2.0], HOSTILE), [HOSTILE] * 2, pieces, HOSTILE, HOSTILE).html
    spans = Spans(html)
    assert {tag for tag, _ in spans.elements} == {'div', 'style', 'p', 'strong', 'span', 'details', 'summary'}
    assert {name for _, attrs in spans.elements for name in attrs} == {'class', 'tabindex', 'title'}
    assert spans.text == [HOSTILE] * 2


def test_without_a_name_the_most_shifted_example_is_shown():
    import pyarrow as pa

    both = pa.concat_tables([rows([8, 9], [1, 1], [0.2, 0.2], 'first'), rows([8], [1], [0.3], 'second')])
    assert notebook.chosen(both, None)['example_id'].to_pylist() == ['second']
    assert notebook.chosen(both, 'first')['example_id'].to_pylist() == ['first', 'first']
    with pytest.raises(InputError, match="no example 'firts' among 2; did you mean first"):
        notebook.chosen(both, 'firts')
