import pytest
from browser_opened import shown, talk, talk_page  # noqa: F401
from chromium import chromium, opened  # noqa: F401 (fixtures)
from made_up import make_workdir


@pytest.fixture(scope='session')
def workdir(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp('study') / 'workdir')
