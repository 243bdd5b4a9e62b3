"""Responses token by token as Chromium shows them; what they say is what the Parquet records say."""

import re
import time

import made_up_responses
import pytest
from browser_opened import classes, rows_of, tokens
from made_up_responses import PIECES

from jaxshift.report import positions


def test_the_first_prompt_is_shown_for_a_run_of_each_method(shown, talk):
    found = shown()
    assert found.page.locator('#browser-id').text_content() == 'q00'
    assert found.page.locator('#browser-prompt').text_content() == 'what is 0 <b>&amp;</b> why?'
    for run in ('lora', 'full'):
        rows = rows_of(talk, run, 'q00')
        assert [kind.split()[1] for kind in classes(found, run)] == [row['shift_class'] for row in rows]
    assert found.requests == [found.page.url]
    assert found.complaints == []


def test_what_tokens_say_is_text_and_what_would_hide_is_visible(shown):
    found = shown('browse?search=hacked')
    text = ''
    for _ in range(40):
        text += found.page.locator('#browser-panes').text_content()
        found.page.click('#browser-next')
    for said in ('</script><script>hacked()</script>', '<img src=x onerror=hacked()>', '⟨U+2028⟩', '␛]0;hacked␇'):
        assert said in text
    assert '⟨U+202E⟩drow' in text
    assert found.page.evaluate('typeof hacked') == 'undefined'
    assert found.page.locator('#browser img, #browser b[onclick], main script').count() == 0
    assert found.complaints == []


def test_a_character_of_two_tokens_is_shown_whole_and_its_parts_are_named(shown):
    found = shown('browse?example=q00')
    begun = tokens(found).nth(3)
    assert begun.text_content() == '中'
    assert 'part' in tokens(found).nth(4).get_attribute('class')
    tokens(found).nth(4).click()
    assert 'part of the character before' in found.page.locator('#browser-card').text_content()


def test_the_card_says_what_the_record_says(shown, talk):
    found = shown('browse?example=q03&runs=full')
    for place, row in enumerate(rows_of(talk, 'full', 'q03')):
        tokens(found, 'full').nth(place).click()
        card = found.page.locator('#browser-card')
        said = dict(zip(card.locator('dt').all_text_contents(), card.locator('dd').all_text_contents(), strict=True))
        assert said['Base rank'].startswith(f'{row["base_rank"]},')
        base, tuned = said['This token'].split(', tuned ')
        assert base.endswith(f'(rank {row["emitted_base_rank"]})')
        assert tuned.endswith(f'(rank {row["emitted_tuned_rank"]})')
        assert float(said['KL(tuned ‖ base)'].split()[0]) == pytest.approx(row['kl_tuned_base'], rel=0.06)
        for name in ('base', 'tuned'):
            items = card.locator('.lists > div').nth(('base', 'tuned').index(name)).locator('li')
            shares = [text.strip('◂ ') for text in items.locator('.share').all_text_contents()]
            emitted = items.locator('.name').all_text_contents()[
                items.evaluate_all('all => all.findIndex(item => item.classList.contains("emitted"))')
            ]
            assert emitted == _name(row['token_id'])
            kept = [p for p in _probabilities(row, name) if p >= positions.LEAST]
            for share, probability in zip(shares, kept, strict=False):
                assert float(re.sub('[<> %]', '', share)) == pytest.approx(
                    100 * probability, abs=0.05 + 12 * probability
                )


def _probabilities(row, name):
    return [2.718281828459045**logprob for logprob in row[f'top_logprobs_{name}']]


def _name(token):
    shown = PIECES[token].replace('\n', '⏎').replace('\t', '⇥').replace(' ', '·')
    for char, mark in {'\u2028': '⟨U+2028⟩', '\u202e': '⟨U+202E⟩', '\x1b': '␛', '\x07': '␇'}.items():
        shown = shown.replace(char, mark)
    return shown


@pytest.mark.parametrize('model', ['base', 'tuned'])
def test_a_token_beyond_the_lists_has_its_rank_and_probability(shown, talk, model):
    rows = [(e, p, row) for e in range(40) for p, row in enumerate(rows_of(talk, 'lora', f'q{e:02d}'))]
    rank = f'emitted_{model}_rank'
    example, place, row = next(each for each in rows if each[2][rank] > made_up_responses.K)
    found = shown(f'browse?example=q{example:02d}&token={place},lora')
    lists = found.page.locator('#browser-card .lists > div')
    beyond = lists.nth(('base', 'tuned').index(model)).locator('.beyond')
    assert beyond.locator('.rank').text_content() == str(row[rank])
    assert beyond.locator('.name').text_content() == _name(row['token_id'])


def test_runs_side_by_side_say_whose_context_they_have_and_scroll_together(shown):
    names = 'lora,lora@shared,full,full@shared'
    found = shown(f'browse?example=q39&runs={names}')
    assert found.page.locator('#browser .whose').all_text_contents() == [
        'own context: its own response', 'shared context: the response of lora',
        'own context: its own response', 'shared context: the response of lora',
    ]  # fmt: skip
    boxes = found.page.locator('#browser .tokens')
    boxes.evaluate_all('all => all.forEach(box => { box.style.maxHeight = "80px"; })')
    boxes.first.evaluate('box => { box.scrollTop = box.scrollHeight; }')
    at_end = 'all => all.map(box => box.scrollHeight - box.clientHeight - box.scrollTop < 3 && box.scrollTop > 0)'
    deadline = time.monotonic() + 10
    while not all(boxes.evaluate_all(at_end)):
        assert time.monotonic() < deadline, boxes.evaluate_all(at_end)
    assert found.page.locator('#browser-runs input:not(:checked):not(:disabled)').count() == 0


@pytest.mark.parametrize(
    ('width', 'scheme', 'by'), [(1440, 'light', 'kl'), (1440, 'dark', 'delta'), (360, 'light', 'class')]
)
def test_the_browser_is_accessible(shown, width, scheme, by):
    found = shown(f'browse?example=q01&by={by}&token=1,full&runs=lora,full', width, scheme)
    assert found.violations() == []
    assert found.overflow() == 0
