"""The section of length and style, of a made-up workdir."""

import json
import shutil

import pytest
from made_up import RUNS

from jaxshift.causes import imitation as causes
from jaxshift.judge import judgement, summary
from jaxshift.judge.judgement import Judgement
from jaxshift.report import imitation, results
from jaxshift.respond import responses
from jaxshift.store.paths import Workdir

DATA = ['However, it is so. ' * 3, 'Cats purr.'] * 20


@pytest.fixture(scope='module')
def explained(workdir, tmp_path_factory):
    """The made-up workdir with what the stages would have written, where the judge dislikes length."""
    root = tmp_path_factory.mktemp('explained') / 'workdir'
    shutil.copytree(workdir, root)
    explain(root)
    return root


def explain(root):
    for run in RUNS:
        folder = root / 'runs' / run
        rows = responses.read(folder / 'responses.jsonl')
        names, texts = [row['example_id'] for row in rows], [row['response'] for row in rows]
        profiles = {
            'data': causes.profile(DATA, [10] * len(DATA), list(map(str, range(len(DATA)))), 100, 0),
            'tuned': causes.profile(texts, [len(row['token_ids']) for row in rows], names, 100, 0),
        }
        figures = {'sources': profiles, 'openings': causes.compare({'data': DATA, 'tuned': texts}, 0)}
        (folder / 'causes/imitation.json').write_text(json.dumps(figures))
        (folder / 'judge').mkdir()
        scores = [
            Judgement(row['example_id'], 'scored', {'factuality': 5 - len(row['token_ids']) / 20}) for row in rows
        ]
        judgement.write(folder / 'judge/stern.jsonl', scores)
        summary.write(folder / 'judge', 'stern', rows, {}, 1, 100, 0)


def test_a_planted_price_of_length_is_told_for_each_run_and_within_prompts(explained):
    section = imitation.section(results.load(Workdir(explained)))
    rows = section.tables['score_by_length']
    assert [row['compared'] for row in rows] == ['prompts of a run'] * len(RUNS) + ['runs on a prompt']
    assert all(row['high'] < 0 for row in rows)
    told = [sentence for sentence in section.sentences if 'judge stern' in sentence]
    assert len(told) == len(rows)
    assert all('longer is less true, as the paper says' in sentence for sentence in told)


def test_the_data_stand_once_and_first_beside_every_run(explained):
    rows = imitation.section(results.load(Workdir(explained))).tables['lengths']
    assert [row['text'] for row in rows] == ['tuning data', *RUNS]
    assert rows[0]['words'] == pytest.approx((12 + 2) / 2)


def test_a_run_that_was_tuned_elsewhere_is_told_from_those_tuned_on_the_data(explained, tmp_path):
    root = tmp_path / 'workdir'
    shutil.copytree(explained, root)
    told = 'lora: tuned elsewhere, perhaps on other data than these.'
    assert told not in imitation.section(results.load(Workdir(root))).sentences
    path = root / 'experiment.json'
    experiment = json.loads(path.read_text())
    experiment['config']['runs']['lora']['method'] = 'given'
    path.write_text(json.dumps(experiment))
    assert told in imitation.section(results.load(Workdir(root))).sentences


def test_without_scores_there_is_no_slope_and_without_the_analysis_no_section(workdir, explained, tmp_path):
    assert imitation.section(results.load(Workdir(workdir))) is None
    root = tmp_path / 'workdir'
    shutil.copytree(explained, root)
    for run in RUNS:
        shutil.rmtree(root / 'runs' / run / 'judge')
    section = imitation.section(results.load(Workdir(root)))
    assert 'score_by_length' not in section.tables
    assert section.figures
