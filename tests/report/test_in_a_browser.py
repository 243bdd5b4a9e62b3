"""The page as Chromium shows it."""

import re

import pytest
from made_up import END, PIECES, RUNS, make_workdir

from jaxshift.report import page

INJECTED = [
    '<script>hit = 1</script>', '</script><script>hit = 1</script>', '<img src=x onerror="hit = 1">',
    '<svg onload=hit=1>',
    '" onmouseover="hit = 1" x="', "' autofocus onfocus='hit = 1' x='", '</style><body onload=hit=1>', '<!--<script>',
    'javascript:hit=1', '<a href="javascript:hit=1">',
    '<iframe src="https://example.org">', '{{ 7 * 7 }}', '${hit = 1}',
    ']]><b>', '&lt;b&gt;&#60;', '\u2028hit = 1\u2029', '\x1b[31mred\x1b[0m', '\x1b]8;;https://example.org\x07link',
    '\u202ereversed', '</title></main>',
]  # fmt: skip


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    folder = make_workdir(tmp_path_factory.mktemp('plain'), 8, {run: RUNS[run] for run in ('lora', 'full')})
    return page.write(folder, PIECES, [END])


@pytest.mark.parametrize(('width', 'scheme'), [(1440, 'light'), (360, 'dark')])
def test_the_page_is_whole_accessible_and_asks_for_nothing(opened, plain, width, scheme):
    assert opened(plain, width, scheme).faults() == []


def test_light_and_dark_differ_and_print_is_light(opened, plain):
    def paper(found):
        return found.page.evaluate('getComputedStyle(document.body).backgroundColor')

    light, dark = opened(plain), opened(plain, scheme='dark')
    assert paper(light) == 'rgb(255, 255, 255)' != paper(dark)
    dark.page.emulate_media(media='print')
    assert paper(dark) == paper(light)
    assert not dark.page.locator('nav').is_visible()


def test_what_data_and_models_say_stays_text(opened, tmp_path):
    pieces = ['</s>', *INJECTED]
    runs = {name.replace('/', '∕'): ('lora', 1e-3, 0.3, 0.9, 0.1) for name in INJECTED[:4]}
    prompt = ' '.join(INJECTED)
    path = page.write(make_workdir(tmp_path / 'bad', 6, runs, pieces, prompt, INJECTED[1]), pieces, [END])
    found = opened(path)
    assert found.requests == [path.as_uri()]
    assert found.complaints == []
    assert found.page.evaluate('typeof hit') == 'undefined'
    assert found.page.locator('main').count() == 1
    assert found.page.locator('script:not([type])').count() == 1
    assert found.page.locator('iframe, img, [src], a[href^="javascript"]').count() == 0
    assert found.handlers() == []
    found.page.wait_for_selector('#browser.ready')
    text = found.page.evaluate('document.querySelector("main").textContent')
    for injected in (*INJECTED[:15], '⟨U+2028⟩hit = 1⟨U+2029⟩', '␛[31mred␛[0m', '⟨U+202E⟩reversed', *runs):
        assert injected in text


def test_a_script_that_the_policy_does_not_name_is_not_run(opened, plain, tmp_path):
    html = plain.read_text(encoding='utf-8').replace('</main>', '<script>window.hit = 1</script></main>')
    (tmp_path / 'page.html').write_text(html, encoding='utf-8')
    found = opened(tmp_path / 'page.html')
    assert found.page.evaluate('typeof hit') == 'undefined'
    assert any('Content Security Policy' in line for line in found.complaints)
    assert found.page.locator('th button').count() > 0  # its own one is


def test_tables_are_sorted_by_the_head_of_a_column(opened, plain):
    found = opened(plain)
    table = found.page.locator('table').first

    def column(number):
        return [text.split('[')[0] for text in table.locator(f'tbody td:nth-child({number})').all_text_contents()]

    kl = table.locator('th', has_text='mean KL')
    kl.get_by_role('button').press('Enter')
    assert kl.get_attribute('aria-sort') == 'descending'
    assert column(1) == ['full', 'lora']
    kl.get_by_role('button').click()
    assert column(6) == sorted(column(6), key=float)
    run = table.locator('th').first
    run.get_by_role('button').click()
    assert run.get_attribute('aria-sort') == 'ascending'
    assert kl.get_attribute('aria-sort') is None
    assert column(1) == ['full', 'lora']


def test_the_keyboard_skips_to_the_content_and_reaches_every_part(opened, plain):
    found = opened(plain)
    found.page.keyboard.press('Tab')
    assert found.page.evaluate('document.activeElement.textContent') == 'Skip to the content'
    found.page.keyboard.press('Enter')
    assert found.page.evaluate('document.activeElement.id') == 'main'
    found.page.keyboard.press('Tab')
    focused = 'const e = document.activeElement; return [e.closest("main") !== null, getComputedStyle(e).outlineStyle]'
    assert found.page.evaluate(f'(() => {{ {focused} }})()') == [True, 'solid']
    links = found.page.locator('nav a').evaluate_all('links => links.map(link => link.getAttribute("href"))')
    headings = found.page.locator('h2').evaluate_all('headings => headings.map(heading => "#" + heading.id)')
    assert links == headings


def test_words_are_explained_one_click_away(opened, plain):
    found = opened(plain)
    words = found.page.locator('h2#overview ~ details').first
    assert not words.get_by_text('Jensen').is_visible()
    words.locator('summary').click()
    assert words.get_by_text('Jensen').is_visible()


def test_drawings_take_the_colours_of_the_page(opened, plain):
    found = opened(plain, scheme='dark')
    ink = found.page.evaluate('getComputedStyle(document.body).color')
    assert ink == found.page.locator('figure svg text').first.evaluate('text => getComputedStyle(text).fill')
    assert re.search(r'fill: var\(--lora\)', plain.read_text(encoding='utf-8'))
