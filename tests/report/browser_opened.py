"""The page of made-up responses, opened in Chromium at its browser of responses, and what is looked up there."""

import time

import made_up_responses
import pytest
from made_up_responses import END, PIECES, reader

from jaxshift.report import page
from jaxshift.shift import records
from jaxshift.store.paths import Workdir


@pytest.fixture(scope='session')
def talk(tmp_path_factory):
    return Workdir(made_up_responses.make(tmp_path_factory.mktemp('talk') / 'workdir', examples=40))


@pytest.fixture(scope='session')
def talk_page(talk):
    return page.write(talk.root, PIECES, [END], reader)


@pytest.fixture
def shown(opened, talk_page):
    """Opens the report and waits for the browser in it; what is looked up is looked up in the browser."""

    def show(at='', width=1440, scheme='light'):
        found = opened(talk_page, width, scheme, at)
        found.page.wait_for_selector('#browser.ready')
        return found

    return show


def wait_until(condition):
    """Asks again and again: what waits inside of the page is an eval, which its policy refuses."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, 'waited for 20 s'
        time.sleep(0.02)


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
