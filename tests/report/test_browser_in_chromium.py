"""The example browser as Chromium shows it; the numbers it shows are those of the Parquet records."""

import dataclasses
import re
from urllib.parse import quote

import made_up_responses
import pytest
from made_up_responses import END, PIECES, reader

from jaxshift.report import browsing, page, positions, results
from jaxshift.shift import records
from jaxshift.store.paths import Workdir


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    return Workdir(made_up_responses.make(tmp_path_factory.mktemp('talk') / 'workdir', examples=40))


@pytest.fixture(scope='module')
def report(workdir):
    return page.write(workdir.root, PIECES, [END], reader)


@pytest.fixture
def explained_report(workdir, monkeypatch):
    """With borrowed spans: of borrowing.json the page reads far more than this test has to say."""
    loaded = results.load(workdir)
    asked = {run: {'borrowing': {}} for run in loaded.responses}
    islands = browsing.browser(dataclasses.replace(loaded, explained=asked), reader, [END])
    monkeypatch.setattr(browsing, 'browser', lambda *_: islands)
    return page.write(workdir.root, PIECES, [END])


@pytest.fixture
def shown(opened, report):
    """Opens the report and waits for the browser in it; what is looked up is looked up in the browser."""

    def show(at='', width=1440, scheme='light'):
        found = opened(report, width, scheme, at)
        found.page.wait_for_selector('#browser.ready')
        return found

    return show


def rows_of(workdir, run, example, context='own'):
    rows = records.read(workdir.run(run) / 'tokens').to_pylist()
    return [row for row in rows if (row['context'], row['example_id']) == (context, example)]


def tokens(found, view='lora'):
    return found.page.locator(f'#browser .tokens[data-view="{view}"] .t')


def classes(found, view='lora'):
    return tokens(found, view).evaluate_all('all => all.map(token => token.className)')


def listed(found):
    """The shown rows of the list, from above."""
    return found.page.locator('#browser .example .prompt-line').all_text_contents()


def test_the_first_prompt_is_shown_for_a_run_of_each_method(shown, workdir):
    found = shown()
    assert found.page.locator('#browser-id').text_content() == 'q00'
    assert found.page.locator('#browser-prompt').text_content() == 'what is 0 <b>&amp;</b> why?'
    for run in ('lora', 'full'):
        rows = rows_of(workdir, run, 'q00')
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


def test_the_card_says_what_the_record_says(shown, workdir):
    found = shown('browse?example=q03&runs=full')
    for place, row in enumerate(rows_of(workdir, 'full', 'q03')):
        tokens(found, 'full').nth(place).click()
        card = found.page.locator('#browser-card')
        said = dict(zip(card.locator('dt').all_text_contents(), card.locator('dd').all_text_contents(), strict=True))
        assert said['Base rank'].startswith(f'{row["base_rank"]},')
        assert f'(rank {row["emitted_base_rank"]})' in said['This token']
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


def test_a_token_beyond_the_lists_has_its_rank_and_probability(shown, workdir):
    rows = [(e, p, row) for e in range(40) for p, row in enumerate(rows_of(workdir, 'lora', f'q{e:02d}'))]
    example, place, row = next(each for each in rows if each[2]['emitted_base_rank'] > made_up_responses.K)
    found = shown(f'browse?example=q{example:02d}&token={place},lora')
    beyond = found.page.locator('#browser-card .lists > div').first.locator('.beyond')
    assert beyond.locator('.rank').text_content() == str(row['emitted_base_rank'])
    assert beyond.locator('.name').text_content() == _name(row['token_id'])


def test_filters_keep_the_prompts_that_the_records_name(shown, workdir):
    found = shown('browse?runs=lora')
    found.page.click('#browser-filters summary')
    found.page.fill('#browser-limit', '1')
    by_example = {f'q{n:02d}': rows_of(workdir, 'lora', f'q{n:02d}') for n in range(40)}
    high = {name: sum(row['kl_tuned_base'] >= 1 for row in rows) for name, rows in by_example.items()}
    kept = [name for name, count in high.items() if count]
    assert 0 < len(kept) < 40
    expected = f'{len(kept)} prompts of 40; {sum(high.values())} tokens in them match the filter'
    assert found.page.locator('#browser-found').text_content() == expected
    assert listed(found)[0].startswith(f'what is {int(kept[0][1:])} ')
    assert sum('match' in kind for kind in classes(found)) == high[kept[0]]
    found.page.click('#browser-clear')
    assert found.page.locator('#browser-found').text_content() == '40 prompts'


def test_spans_of_the_tuning_data_are_marked_and_the_borrowed_ones_have_their_row(opened, explained_report):
    found = opened(explained_report, at='browse?runs=lora&borrowed=&token=2,lora')
    found.page.wait_for_selector('#browser.ready')
    assert found.page.locator('#browser-found').text_content() == '1 prompt of 40'
    assert [place for place, kind in enumerate(classes(found)) if 'borrowed' in kind] == [1, 2]
    origin = found.page.locator('#browser-card .origin').text_content()
    assert origin == 'Borrowed: a span of 2 tokens, in 3 rows; tune-7: best </script><b>row</b>'
    found.page.uncheck('#browser-borrowed')
    found.page.locator('#browser .example').nth(3).click()
    assert not any('span' in kind for kind in classes(found))
    found.page.check('#browser-spans')
    assert [place for place, kind in enumerate(classes(found)) if 'span' in kind] == [0, 1, 2, 3]


def test_the_most_shifted_come_first(shown, workdir):
    found = shown('browse?runs=lora')
    found.page.select_option('#browser-sort', 'shifted')
    shares = {}
    for number in range(40):
        rows = rows_of(workdir, 'lora', f'q{number:02d}')
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


def test_a_link_brings_back_what_is_shown(shown, report, opened):
    found = shown()
    found.page.select_option('#browser-by', 'kl')
    found.page.click('#browser .example >> nth=5')
    tokens(found, 'full').nth(2).click()
    at = found.page.evaluate('location.hash')[1:]
    again = shown(at)
    assert again.page.locator('#browser-id').text_content() == 'q05'
    assert again.page.locator('#browser-by').input_value() == 'kl'
    assert again.page.locator('#browser-card').is_visible()
    assert classes(again, 'full') == classes(found, 'full')
    assert again.page.evaluate('location.hash')[1:] == at


@pytest.mark.parametrize(
    'at',
    ['browse?example=none&runs=x,y&by=z&limit=NaN&token=9999,lora&sort=', 'browse?%%%', f'browse?runs={quote("<b>")}'],
)
def test_a_link_that_names_nothing_shows_the_first(shown, at):
    found = shown(at)
    assert found.page.locator('#browser-id').text_content() == 'q00'
    assert found.complaints == []


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
    found.page.wait_for_function(f'({at_end})([...document.querySelectorAll("#browser .tokens")]).every(Boolean)')
    assert found.page.locator('#browser-runs input:not(:checked):not(:disabled)').count() == 0


@pytest.mark.parametrize(
    ('width', 'scheme', 'by'), [(1440, 'light', 'kl'), (1440, 'dark', 'delta'), (360, 'light', 'class')]
)
def test_the_browser_is_accessible(shown, width, scheme, by):
    found = shown(f'browse?example=q01&by={by}&token=1,full&runs=lora,full', width, scheme)
    assert found.violations() == []
    assert found.overflow() == 0
