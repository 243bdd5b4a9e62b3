"""The page of `--mode=show_data` as Chromium shows it, with hostile texts in every place."""

import pytest
from test_in_a_browser import INJECTED

from jaxshift import showing


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    hostile = ' '.join(INJECTED)
    kinds = ['masked'] * len(INJECTED) + ['trained'] * len(INJECTED)
    texts = [*INJECTED, *INJECTED[:-1], 'x' * 500]
    tokens = [showing.Token(text, number, kind) for number, (text, kind) in enumerate(zip(texts, kinds, strict=True))]
    counts = {
        'examples': 2, 'held_out': 1, 'tokens': 9, 'trained_tokens': 4, 'cut': 1, 'split': 1, 'max_length': 192,
        'refused': {hostile: 1},
    }  # fmt: skip
    examples = [showing.Example(hostile, tokens, 192), showing.Example('1', tokens[:3], 3)]
    form = showing.Shown(f'data, for {hostile}', counts, examples, [{'where': hostile, 'reason': hostile}], [hostile])
    path = tmp_path_factory.mktemp('shown') / 'show_data.html'
    path.write_text(showing.html(hostile, hostile, [form]), encoding='utf-8')
    return path


@pytest.mark.parametrize(('width', 'scheme'), [(1440, 'light'), (360, 'dark')])
def test_it_is_whole_accessible_and_asks_for_nothing(opened, written, width, scheme):
    assert opened(written, width, scheme).faults() == []


def test_what_data_says_stays_text(opened, written):
    found = opened(written)
    assert found.page.evaluate('typeof hit') == 'undefined'
    assert found.page.locator('script, iframe, img, a, svg, [src]').count() == 0
    assert found.page.locator('main, body, title').count() == 3
    assert found.handlers() == []
    text = found.page.evaluate('document.querySelector(".tokens").textContent')
    for injected in (*INJECTED[:15], r'\u2028hit = 1\u2029', r'\x1b[31mred\x1b[0m', r'\u202ereversed'):
        assert injected in text


def test_masked_and_trained_tokens_differ_by_more_than_colour(opened, written):
    found = opened(written)
    line = 'token => getComputedStyle(token).borderBottomStyle'
    kinds = {kind: found.page.locator(f'.tokens .{kind}').first.evaluate(line) for kind in ('masked', 'trained')}
    assert kinds == {'masked': 'none', 'trained': 'solid'}


def test_a_script_is_not_run_at_all(opened, written, tmp_path):
    html = written.read_text(encoding='utf-8').replace('</main>', '<script>window.hit = 1</script></main>')
    (tmp_path / 'page.html').write_text(html, encoding='utf-8')
    found = opened(tmp_path / 'page.html')
    assert found.page.evaluate('typeof hit') == 'undefined'
    assert any('Content Security Policy' in line for line in found.complaints)
