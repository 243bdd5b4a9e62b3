"""Filters, orders, search, links and keys of the browser of responses in Chromium, held against the records."""

import dataclasses
import re
import shutil
from itertools import pairwise
from urllib.parse import quote

import pytest
from browser_opened import classes, listed, rows_of, tokens, wait_until
from made_up_responses import END, PIECES, reader

from jaxshift.report import browsing, page, results


def test_filters_keep_the_prompts_that_the_records_name(shown, talk):
    found = shown('browse?runs=lora')
    found.page.click('#browser-filters summary')
    by_example = {f'q{n:02d}': rows_of(talk, 'lora', f'q{n:02d}') for n in range(40)}
    # Where rounded figures and exact ones lie on the same side: the middle of the widest gap near 1.
    near = [kl for rows in by_example.values() for row in rows if 0.9 < (kl := row['kl_tuned_base']) < 1.2]
    low, above = max(pairwise(sorted(near)), key=lambda pair: pair[1] / pair[0])
    assert low * 1.01 < (least := round((low + above) / 2, 4)) < above / 1.01
    found.page.fill('#browser-limit', str(least))
    high = {name: sum(row['kl_tuned_base'] >= least for row in rows) for name, rows in by_example.items()}
    kept = [name for name, count in high.items() if count]
    assert 0 < len(kept) < 40
    expected = f'{len(kept)} prompts of 40; {sum(high.values())} tokens in them match the filter'
    assert found.page.locator('#browser-found').text_content() == expected
    assert listed(found)[0].startswith(f'what is {int(kept[0][1:])} ')
    assert sum('match' in kind for kind in classes(found)) == high[kept[0]]
    found.page.click('#browser-clear')
    assert found.page.locator('#browser-found').text_content() == '40 prompts'


@pytest.fixture
def explained_report(talk, tmp_path, monkeypatch):
    """With borrowed spans: of borrowing.json the page reads far more than this test has to say."""
    folder = shutil.copytree(talk.root, tmp_path / 'workdir')
    loaded = results.load(talk)
    asked = {run: {'borrowing': {}} for run in loaded.responses}
    islands = browsing.browser(dataclasses.replace(loaded, explained=asked), reader, [END], most_bytes=10**7)
    monkeypatch.setattr(browsing, 'browser', lambda *_: islands)
    return page.write(folder, PIECES, [END])


def test_spans_of_the_tuning_data_are_marked_and_the_borrowed_ones_have_their_row(opened, explained_report):
    found = opened(explained_report, at='browse?runs=lora&borrowed=&token=2,lora')
    found.page.wait_for_selector('#browser.ready')
    assert found.page.locator('#browser-found').text_content() == '1 prompt of 40'
    assert [place for place, kind in enumerate(classes(found)) if 'borrowed' in kind] == [1, 2]
    origin = found.page.locator('#browser-card .origin').text_content()
    assert origin == 'Borrowed: a span of 2 tokens, in 3 rows; tune-7: best </script><b>row</b>'
    tokens(found).nth(1).click()  # where another span begins before it
    origins = found.page.locator('#browser-card .origin').all_text_contents()
    assert origins == [origin, 'Stands in the tuning data: a span of 2 tokens; no row was looked for.']
    found.page.uncheck('#browser-borrowed')
    found.page.locator('#browser .example').nth(3).click()
    assert not any('span' in kind for kind in classes(found))
    found.page.check('#browser-spans')
    assert [place for place, kind in enumerate(classes(found)) if 'span' in kind] == [0, 1, 2, 3]


def test_the_most_shifted_come_first(shown, talk):
    found = shown('browse?runs=lora')
    found.page.select_option('#browser-sort', 'shifted')
    shares = {}
    for number in range(40):
        rows = rows_of(talk, 'lora', f'q{number:02d}')
        shares[number] = sum(row['shift_class'] == 'shifted' for row in rows) / len(rows)
    order = sorted(shares, key=lambda number: (-shares[number], number))
    shown_first = [int(re.match(r'what is (\d+) ', text)[1]) for text in listed(found)]
    assert shown_first == order[: len(shown_first)]
    assert len(shown_first) < 40  # the others are not in the document


def test_search_finds_what_stands_across_tokens_and_marks_it(shown):
    found = shown('browse?runs=lora')
    found.page.fill('#browser-search', '中')
    assert found.page.locator('#browser-found').text_content() == '40 prompts'
    assert sum('hit' in kind for kind in classes(found)) == 1
    found.page.fill('#browser-search', 'WHAT IS 17 ')
    assert listed(found) == ['what is 17 <b>&amp;</b> why?']
    found.page.fill('#browser-search', 'nowhere at all')
    assert found.page.locator('#browser-none').is_visible()


def test_search_marks_its_tokens_behind_letters_whose_small_ones_are_longer(shown, talk):
    wide, wanted = PIECES.index(' $5 İ'), PIECES.index('\u202edrow')
    ids = {f'q{n:02d}': [row['token_id'] for row in rows_of(talk, 'lora', f'q{n:02d}')] for n in range(40)}
    example, said = next(pair for pair in ids.items() if {wide, wanted} <= {*pair[1]} and pair[1].count(wide) > 1)
    found = shown(f'browse?runs=lora&example={example}&search=DROW')
    assert ['hit' in kind for kind in classes(found)] == [token == wanted for token in said]


def test_a_link_brings_back_what_is_shown(shown):
    found = shown()
    found.page.select_option('#browser-by', 'kl')
    found.page.click('#browser .example >> nth=5')
    tokens(found, 'full').nth(2).click()
    wait_until(lambda: 'token=2' in found.page.evaluate('location.hash'))
    at = found.page.evaluate('location.hash')[1:]
    again = shown(at)
    assert again.page.locator('#browser-id').text_content() == 'q05'
    assert again.page.locator('#browser-by').input_value() == 'kl'
    assert again.page.locator('#browser-card').is_visible()
    assert classes(again, 'full') == classes(found, 'full')
    assert again.page.evaluate('location.hash')[1:] == at


@pytest.mark.parametrize(
    'at', ['browse?runs=x,y&by=z&limit=NaN&token=9999,lora&sort=', 'browse?%%%', f'browse?runs={quote("<b>")}']
)
def test_a_link_that_names_nothing_shows_the_first(shown, at):
    found = shown(at)
    assert found.page.locator('#browser-id').text_content() == 'q00'
    assert found.page.locator('#browser-found').text_content() == '40 prompts'
    assert found.complaints == []


def test_a_link_to_a_prompt_that_is_not_shown_says_so(shown):
    said = shown('browse?example=q77').page.locator('#browser-found').text_content()
    assert said == 'The linked prompt “q77” is not in this page. 40 prompts'
    found = shown(f'browse?example=q03&search={quote("what is 17 ")}')
    said = found.page.locator('#browser-found').text_content()
    assert said == 'The linked prompt “q03” does not pass the filters. 1 prompt of 40'
    found.page.fill('#browser-search', '')
    assert found.page.locator('#browser-found').text_content() == '40 prompts'


@pytest.mark.parametrize('link', ['example=nowhere', f'example=q03&search={quote("what is 17 ")}'])
def test_the_token_of_a_linked_prompt_that_is_not_shown_is_pinned_in_no_other(shown, link):
    found = shown(f'browse?{link}&token=2,lora')
    again = shown()
    again.page.evaluate(f'location.hash = "browse?{link}&token=2,lora"')
    wait_until(lambda: 'The linked prompt' in again.page.locator('#browser-found').text_content())
    for each in (found, again):
        assert not each.page.locator('#browser-card').is_visible()
        wait_until(lambda at=each: abs(at.page.locator('#browser').bounding_box()['y']) < 50)
        tokens(each).nth(1).click()  # a reader's own one stays
        each.page.emulate_media(color_scheme='dark')
        wait_until(lambda at=each: 'The linked' not in at.page.locator('#browser-found').text_content())
        assert each.page.locator('#browser-card').is_visible()


@pytest.mark.parametrize('width', [360, 1440])
def test_a_linked_token_is_in_sight_above_its_card_which_escape_closes(shown, width):
    found = shown('browse?example=q30&token=5,full&runs=full', width)
    card, token = found.page.locator('#browser-card'), found.page.locator('#browser-token')
    box, over = token.bounding_box(), card.bounding_box()
    assert 0 <= box['y'] < 900
    assert box['y'] + box['height'] <= over['y'] or over['y'] + over['height'] <= box['y']
    said = found.page.locator(', '.join(f'#{name}' for name in token.get_attribute('aria-describedby').split()))
    assert 'token 6 of' in said.first.text_content()
    assert 'KL(tuned ‖ base)' in said.last.text_content()
    found.page.keyboard.press('Escape')
    assert not card.is_visible()
    tokens(found, 'full').nth(2).click()
    card.locator('.close').click()
    assert found.page.evaluate('document.activeElement.dataset.view') == 'full'


@pytest.mark.parametrize('focused', ['#browser-card .close', '#browser .tokens[data-view="full"]'])
def test_keys_that_change_the_prompt_leave_the_focus_in_the_tokens(shown, focused):
    found = shown('browse?example=q30&token=5,full')
    found.page.locator(focused).focus()
    for key, name in (('j', 'q31'), ('j', 'q32'), ('k', 'q31')):
        found.page.keyboard.press(key)
        assert found.page.locator('#browser-id').text_content() == name
        assert found.page.evaluate('document.activeElement.dataset.view') == 'full'
    assert not found.page.locator('#browser-card').is_visible()


def test_runs_chosen_one_after_the_other_and_keys_meanwhile_make_no_error(shown):
    found = shown('browse?runs=lora')
    found.page.evaluate("""() => {
      for (const box of document.querySelectorAll('#browser-runs input:not(:checked)')) {
        box.click();
        const list = document.getElementById('browser-list');
        list.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true}));
        list.dispatchEvent(new Event('scroll'));
      }
    }""")
    wait_until(lambda: found.page.locator('#browser .pane').count() == 4)
    assert found.page.locator('#browser-id').text_content() == 'q03'
    assert found.complaints == []


def test_an_empty_list_takes_keys_and_keeps_its_address(shown):
    found = shown('browse?search=nowhere')
    for key in ('Enter', 'ArrowDown', 'End'):
        found.page.locator('#browser-list').press(key)
    found.page.select_option('#browser-sort', 'length')
    wait_until(lambda: 'sort=length' in found.page.evaluate('location.hash'))
    assert found.complaints == []


def test_the_list_says_what_it_is_sorted_by(shown, talk):
    found = shown('browse?runs=lora&by=delta&sort=most')
    note = re.fullmatch('most remarkable: (.*)', found.page.locator('#browser .example small').first.text_content())[1]
    rows = [row for n in range(40) for row in rows_of(talk, 'lora', f'q{n:02d}')]
    deltas = [row['emitted_tuned_logprob'] - row['emitted_base_logprob'] for row in rows]
    assert float(note.replace('−', '-')) == pytest.approx(max(deltas, key=abs), abs=0.06)
    found.page.select_option('#browser-sort', 'shifted_or_marginal')
    first = found.page.locator('#browser .example').first
    number = int(re.match(r'what is (\d+) ', first.locator('.prompt-line').text_content())[1])
    rows = rows_of(talk, 'lora', f'q{number:02d}')
    count = sum(row['shift_class'] != 'unshifted' for row in rows)
    assert first.locator('small').text_content() == f'shifted or marginal: {count} of {len(rows)}'
    found.page.select_option('#browser-sort', 'mean')
    found.page.select_option('#browser-by', 'class')  # which has no mean
    assert found.page.locator('#browser-sort').input_value() == 'shifted'


def test_the_keyboard_walks_through_examples_and_tokens(shown):
    found = shown()
    found.page.locator('#browser-list').focus()
    found.page.keyboard.press('ArrowDown')
    found.page.keyboard.press('ArrowDown')
    assert found.page.locator('#browser-id').text_content() == 'q02'
    found.page.keyboard.press('End')
    assert found.page.locator('#browser-id').text_content() == 'q39'
    found.page.keyboard.press('Enter')
    found.page.keyboard.press('ArrowRight')
    found.page.keyboard.press('ArrowRight')
    selected = 'document.getElementById("browser-token")'
    assert found.page.evaluate(f'[...{selected}.parentElement.children].indexOf({selected})') == 1
    found.page.keyboard.press('n')
    assert 'unshifted' not in found.page.evaluate(f'{selected}.className')
    assert found.page.locator('#browser-card').is_visible()
    found.page.keyboard.press('Escape')
    assert not found.page.locator('#browser-card').is_visible()
    found.page.keyboard.press('/')
    assert found.page.evaluate('document.activeElement.id') == 'browser-search'


def test_a_key_that_is_held_writes_the_address_once_and_keys_of_the_browser_itself_are_left_to_it(shown):
    found = shown('browse?runs=lora')
    found.page.locator('#browser-list').press('Control+End')
    assert found.page.locator('#browser-id').text_content() == 'q00'
    found.page.evaluate("""() => {
      const real = history.replaceState.bind(history);
      window.calls = 0;
      history.replaceState = (...all) => { window.calls += 1; real(...all); };
      const list = document.getElementById('browser-list');
      for (let i = 0; i < 39; i++) list.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true}));
    }""")
    wait_until(lambda: 'example=q39' in found.page.evaluate('location.hash'))
    assert found.page.evaluate('window.calls') == 1
