"""The section of what people said of the responses."""

import shutil

import pytest

from jaxshift.judge import sheet
from jaxshift.report import annotated, results
from jaxshift.store import manifest, paths
from jaxshift.store.paths import Workdir


@pytest.fixture
def marked(workdir, tmp_path):
    """A workdir where two annotators say of both runs the same, but for one response of nine."""
    root = tmp_path / 'workdir'
    shutil.copytree(workdir, root)
    mark(root)
    return root


def mark(root):
    rows = [
        sheet.Row(f'{run}{place}', run, f'q{place}', 'ask', 'a b c') for run in ('lora', 'full') for place in range(9)
    ]
    one = [sheet.Mark(row.run == 'full', ('b c',) if row.run == 'full' else ()) for row in rows]
    other = [one[0], sheet.Mark(True, ()), *one[2:]]
    found = sheet.figures(rows, {'first': one, 'second': other}, ['a b'], 100, 0)
    found['files'] = manifest.digests(root, [Workdir(root).responses(run) for run in ('lora', 'full')])
    paths.write_json(root / 'sheet/figures.json', found)


def section(root):
    return annotated.section(results.load(Workdir(root)))


def test_runs_and_agreement_of_annotators_stand_on_the_page(marked):
    lora, full = section(marked).tables['annotated']
    assert (lora['run'], lora['marked'], lora['hallucinates']) == ('lora', 18, pytest.approx(1 / 18))
    assert lora['hallucinates_low'] <= 1 / 18 <= lora['hallucinates_high']
    assert (full['hallucinates'], full['phrases'], full['in_tuning_data']) == (1, 18, 0)
    # Of 18 responses that both judged 17 agree; by chance 9 / 18 would.
    assert section(marked).tables['annotators'] == [
        {'one': 'first', 'other': 'second', 'responses': 18, 'kappa': pytest.approx(1 - (1 / 18) / 0.5)}
    ]
    assert section(marked).sentences[1].startswith('Krippendorff’s alpha of all annotators is 0.')


def test_what_was_said_of_other_responses_is_left_out_and_named(marked):
    path = marked / 'runs/full/responses.jsonl'
    path.write_text(path.read_text().replace('however', 'but'))
    assert section(marked).tables == {}
    assert 'sheet/figures.json is of responses that were since replaced' in section(marked).sentences[0]


def test_where_nobody_was_asked_nothing_is_shown(workdir):
    assert section(workdir) is None
