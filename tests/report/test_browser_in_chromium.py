"""Responses token by token as Chromium shows them; what they say is what the Parquet records say."""

import math
import re

import made_up_responses
import pytest
from browser_opened import classes, rows_of, tokens, wait_until
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
    card = found.page.locator('#browser-card')
    for place, row in enumerate(rows_of(talk, 'full', 'q03')):
        tokens(found, 'full').nth(place).click()
        said = dict(zip(card.locator('dt').all_text_contents(), card.locator('dd').all_text_contents(), strict=True))
        assert said['Base rank'].startswith(f'{row["base_rank"]},')
        for text, model in zip(said['This token'].split(', tuned '), ('base', 'tuned'), strict=True):
            share, rank = re.fullmatch(r'(?:base )?(.*) \(rank (\d+)\)', text).groups()
            assert int(rank) == row[f'emitted_{model}_rank']
            assert agrees(share, 100 * math.exp(row[f'emitted_{model}_logprob']), 0.01)
        assert agrees(said['KL(tuned ‖ base)'], row['kl_tuned_base'], 0.01)
        assert agrees(said['Δ log p'], row['emitted_tuned_logprob'] - row['emitted_base_logprob'], 0.01)
        for text, model in zip(said['Entropy'].split(', tuned '), ('base', 'tuned'), strict=True):
            assert agrees(text.removeprefix('base '), row[f'{model}_entropy'], 0.01)
        for name, lists in zip(('base', 'tuned'), card.locator('.lists > div').all(), strict=True):
            assert_list_is_of(lists, row, name)


def assert_list_is_of(lists, row, name):
    """The tokens of the record's list, in its order, and behind them the emitted one where it is none of them."""
    ids, shares = row[f'top_ids_{name}'], _probabilities(row, name)
    expected = [(n + 1, ids[n], shares[n]) for n in range(len(ids)) if n == 0 or shares[n] >= positions.LEAST]
    if row['token_id'] not in [token for _, token, _ in expected]:
        exact = math.exp(row[f'emitted_{name}_logprob'])
        expected.append((row[f'emitted_{name}_rank'], row['token_id'], exact))
    items = lists.locator('li')
    said = [items.locator(part).all_text_contents() for part in ('.rank', '.name', '.share')]
    assert said[0] == [str(rank) for rank, _, _ in expected]
    assert said[1] == [_name(token) for _, token, _ in expected]
    assert all(agrees(text, 100 * share, 0.1) for text, (_, _, share) in zip(said[2], expected, strict=True))
    marked = items.evaluate_all('all => all.map(item => item.classList.contains("emitted"))')
    assert marked == [token == row['token_id'] for _, token, _ in expected]


def agrees(text, exact, share):
    """Whether a figure is near, but for what its digits leave out."""
    sign, number = re.fullmatch(r'(?:◂ )?([<>]?) ?(−?[\d.,]+)(?:\s(?:%|nats))?', text).groups()
    shown = float(number.replace('−', '-').replace(',', ''))
    if sign:
        return exact <= shown if sign == '<' else exact >= shown
    digits = len(number.partition('.')[2])
    return abs(shown - exact) <= 0.51 * 10**-digits + max(share * abs(exact), 0.001)


def _probabilities(row, name):
    return [math.exp(logprob) for logprob in row[f'top_logprobs_{name}']]


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


FOUR = 'lora,lora@shared,full,full@shared'


def test_runs_side_by_side_say_whose_context_they_have_and_scroll_together(shown):
    found = shown(f'browse?example=q39&runs={FOUR}')
    assert found.page.locator('#browser .whose').all_text_contents() == [
        'own context: its own response', 'shared context: the response of lora',
        'own context: its own response', 'shared context: the response of lora',
    ]  # fmt: skip
    assert len({box['y'] for box in map(bounds, found.page.locator('#browser .pane').all())}) == 1
    boxes = found.page.locator('#browser .tokens')
    boxes.evaluate_all('all => all.forEach(box => { box.style.maxHeight = "80px"; })')
    boxes.first.evaluate('box => { box.scrollTop = box.scrollHeight; }')
    at_end = 'all => all.map(box => box.scrollHeight - box.clientHeight - box.scrollTop < 3 && box.scrollTop > 0)'
    wait_until(lambda: all(boxes.evaluate_all(at_end)))
    assert found.page.locator('#browser-runs input:not(:checked):not(:disabled)').count() == 0


def test_a_box_stays_where_the_reader_put_it_beside_longer_and_shorter_ones(shown):
    found = shown(f'browse?example=q39&runs={FOUR}')
    boxes = found.page.locator('#browser .tokens')
    # The others have some pixels to scroll by, which are many of its own.
    height = 'i === 1 ? 80 : box.scrollHeight - 20'
    boxes.evaluate_all(f'all => all.forEach((box, i) => {{ box.style.maxHeight = `${{{height}}}px`; }})')
    boxes.nth(1).evaluate('box => { box.scrollTop = 101; }')
    wait_until(lambda: boxes.nth(3).evaluate('box => box.scrollTop') > 0)
    found.page.wait_for_timeout(300)
    assert boxes.nth(1).evaluate('box => box.scrollTop') == 101


def bounds(element):
    return element.bounding_box()


@pytest.mark.parametrize(
    ('width', 'scheme', 'by'), [(1440, 'light', 'kl'), (1440, 'dark', 'delta'), (360, 'light', 'class')]
)
def test_the_browser_is_accessible(shown, width, scheme, by):
    found = shown(f'browse?example=q01&by={by}&token=1,full&runs=lora,full', width, scheme)
    assert found.violations() == []
    assert found.overflow() == 0


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('by', ['class', 'kl', 'probability', 'rank', 'base_entropy', 'tuned_entropy', 'delta'])
def test_every_step_has_a_line_of_its_own_and_a_tint_that_can_be_told_apart(shown, scheme, by):
    found = shown(f'browse?by={by}', scheme=scheme)
    look = """all => all.map(token => getComputedStyle(token)).map(style =>
      [style.borderBottomStyle + style.borderBottomWidth, style.backgroundColor, style.borderBottomColor])"""
    lines, tints, strips = zip(*found.page.locator('#browser-legend .t').evaluate_all(look), strict=True)
    assert len(set(lines)) == len(set(tints)) == len(set(strips)) == len(lines)
    assert [line for line in lines if line.endswith('0px')] == ['solid0px']  # the plain one alone


def test_right_to_left_text_runs_from_right_to_left(shown):
    found = shown('browse?example=q03&runs=lora')
    tokens(found).evaluate_all("all => all.forEach((token, i) => { token.textContent = 'שלום'; })")
    found.page.locator('#browser-prompt').evaluate("prompt => { prompt.textContent = 'שלום!'; }")
    first, second = (bounds(tokens(found).nth(place)) for place in (0, 1))
    assert first['x'] > second['x']
    direction = 'element => getComputedStyle(element).direction'
    assert found.page.locator('#browser-prompt').evaluate(direction) == 'rtl'
    tokens(found).nth(1).click()
    found.page.keyboard.press('ArrowLeft')
    assert tokens(found).nth(2).get_attribute('aria-selected') == 'true'


@pytest.mark.parametrize('word', ['word', 'שלום'])
def test_arrows_go_to_the_token_above_and_below_in_either_direction(shown, word):
    found = shown('browse?example=q39&runs=lora', 360)
    fill = "(all, word) => all.forEach((token, i) => { token.textContent = word.repeat(1 + (5 * i) % 3) + ' '; })"
    tokens(found).evaluate_all(fill, word)
    rows = {}
    for place, token in enumerate(tokens(found).all()):
        box = bounds(token)
        rows.setdefault(box['y'], []).append((place, box['x'], box['x'] + box['width']))
    upper, lower = list(rows.values())[1:3]
    for number, key, there in ((0, 'ArrowDown', lower), (1, 'ArrowDown', lower), (0, 'ArrowUp', upper)):
        place, left, right = (upper if key == 'ArrowDown' else lower)[number]
        tokens(found).nth(place).click()
        found.page.keyboard.press(key)
        places = tokens(found).evaluate_all('all => all.flatMap((token, i) => (token.id ? [i] : []))')
        overlapping = [at for at, begin, end in there if begin < right and left < end]
        assert len(places) == 1
        assert places[0] in overlapping


def test_marks_of_blanks_do_not_divide_words(shown):
    found = shown('browse?marks=')
    assert '·\u200b' in found.page.locator('#browser-prompt').text_content()
    tokens(found).first.click()
    assert '\u200b' not in found.page.locator('#browser-card').text_content()
