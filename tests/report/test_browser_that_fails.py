"""Pages whose responses cannot be unpacked say why, and show no controls that do nothing."""

import re

from browser_opened import wait_until


def said(found):
    text = found.page.locator('#browser-found')
    wait_until(lambda: 'not shown' in text.text_content())
    return text.text_content()


def damaged(path, name, folder):
    """A copy of the page in which an island is cut off."""
    html = path.read_text(encoding='utf-8')
    start = re.search(f'id="island-{name}">.*\\n', html).end()
    copy = folder / 'page.html'
    copy.write_text(html[: start + 40] + html[html.index('</script>', start) :], encoding='utf-8')
    return copy


def test_a_damaged_copy_says_so(opened, talk_page, tmp_path):
    found = opened(damaged(talk_page, 'examples', tmp_path))
    assert said(found) == 'Responses are not shown: this copy of the page is damaged, please fetch it anew.'
    assert not found.page.locator('#browser-tools').is_visible()
    assert found.complaints == []


def test_a_run_that_is_damaged_leaves_the_others(opened, talk_page, tmp_path):
    found = opened(damaged(talk_page, 'view-1', tmp_path), at='browse?runs=lora')
    found.page.wait_for_selector('#browser.ready')
    found.page.locator('#browser-runs input').nth(1).click()
    assert 'damaged' in said(found)
    assert found.page.locator('#browser .pane').count() == 1
    assert not found.page.locator('#browser-runs input').nth(1).is_checked()
    assert found.complaints == []


def test_a_browser_that_cannot_unpack_says_so(chromium, talk_page):
    page = chromium.new_page()
    page.add_init_script('delete window.DecompressionStream')
    page.goto(talk_page.resolve().as_uri())
    wait_until(lambda: 'DecompressionStream' in page.locator('#browser-found').text_content())
    assert not page.locator('#browser-list').is_visible()
    page.close()
