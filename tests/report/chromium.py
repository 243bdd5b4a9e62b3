"""A real Chromium for the tests of pages: what a page asks for, what it complains of, and what axe-core finds."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
WHY = 'needs a browser: apt-get install chromium, or python -m playwright install chromium'


@dataclass
class Opened:
    """A page in the browser (playwright's `page`), the addresses that it asked for, and its errors and dialogs."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Whatever is wrong with the page as it stands: it asks for its own file and nothing else."""
        found = self.violations()  # first: it takes a while, in which the page may ask for more
        found += [f'{self.overflow()} pixels wider than the window'] if self.overflow() else []
        found += [f'asks for {self.requests}'] if self.requests != [self.page.url] else []
        return found + self.complaints

    def handlers(self) -> list[str]:
        """Attributes that would run a script."""
        names = self.page.evaluate('[...document.querySelectorAll("*")].flatMap(e => e.getAttributeNames())')
        return [name for name in names if name.startswith('on')]

    def overflow(self) -> int:
        """By how many pixels the page as a whole can be scrolled sideways."""
        return self.page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')

    def violations(self) -> list[str]:
        """What axe-core finds: its rule, and the first element."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response['violations']
        return [f'{rule["id"]}: {len(rule["nodes"])}, {rule["nodes"][0]["html"][:200]}' for rule in found]


@pytest.fixture(scope='module')  # not the session's: playwright's event loop would be in the way of other tests
def chromium():
    """Chromium of the machine, or else that of playwright; skips where there is none."""
    playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright: pip install -e .[test]')
    with playwright.sync_playwright() as driver:
        installed = next(filter(None, map(shutil.which, NAMES)), driver.chromium.executable_path)
        if not Path(installed).exists():
            pytest.skip(WHY)
        browser = driver.chromium.launch(executable_path=installed, args=['--no-sandbox', '--disable-gpu'])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Opens a file: `opened(path, width=1440, scheme='light')`, an address's end behind '#' as `at`."""
    made = []

    def open_file(path: Path, width: int = 1440, scheme: str = 'light', at: str = '') -> Opened:
        page = chromium.new_page(viewport={'width': width, 'height': 900}, color_scheme=scheme)
        page.set_default_timeout(120_000)  # of machines with other work
        found = Opened(page)
        made.append(page)
        page.on('request', lambda request: found.requests.append(request.url))
        page.on('pageerror', lambda error: found.complaints.append(str(error)))
        page.on(
            'console', lambda line: found.complaints.append(line.text) if line.type in ('error', 'warning') else None
        )
        page.on('dialog', lambda dialog: (found.complaints.append(f'dialog {dialog.message}'), dialog.dismiss()))
        page.goto(path.resolve().as_uri() + (f'#{at}' if at else ''))
        return found

    yield open_file
    for page in made:
        page.close()
