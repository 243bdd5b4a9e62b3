"""What judges say on the page: nothing without them; with them every mean with its counts, and figures."""

import csv
import hashlib
import json
import shutil

import numpy as np
import pytest
from made_up import END, PIECES, RUNS

from jaxshift.errors import InputError
from jaxshift.judge import judgement, preferences, summary
from jaxshift.judge.judgement import ASPECTS, Judgement
from jaxshift.report import caveats, judged, judged_figures, page, results
from jaxshift.report.wording import number
from jaxshift.store.paths import Workdir

LEVEL = {'lora': 4.2, 'full': 3.1, 'lora_best': 3.6, 'full_best': 3.5}
METHODS = {run: method for run, (method, *_) in RUNS.items()}


def judge(workdir, run, name, seed, aspects=ASPECTS):
    rng = np.random.default_rng(seed)
    rows = list(results.load(Workdir(workdir)).responses[run].values())
    made = []
    for place, row in enumerate(rows):
        scores = {a: float(np.clip(round(rng.normal(LEVEL[run] - 0.2 * i, 0.8)), 1, 5)) for i, a in enumerate(aspects)}
        outcome = {3: 'unparsed', 5: 'refused', 7: 'failed', 9: 'repaired'}.get(place, 'scored')
        kept = scores if outcome in ('scored', 'repaired') else dict.fromkeys(aspects)
        made.append(Judgement(row['example_id'], outcome, kept))
    folder = workdir / 'runs' / run / 'judge'
    judgement.write(folder / f'{name}.jsonl', made[:-2])
    topics = {row['example_id']: {'topic': (('art', 'law <b>')[i % 2],)} for i, row in enumerate(rows)}
    summary.write(folder, name, rows, topics, 1, 200, 0)


@pytest.fixture(scope='module')
def judged_dir(workdir, tmp_path_factory):
    path = tmp_path_factory.mktemp('judged')
    shutil.copytree(workdir, path, dirs_exist_ok=True)
    for seed, run in enumerate(RUNS):
        judge(path, run, 'gpt-4/x'.replace('/', ':'), seed)
        judge(path, run, 'oracle', seed + 10, ASPECTS[:3])
    won = preferences.figures([(f'q{i}', 'win') for i in range(8)] + [('q8', 'loss'), ('q9', 'inconsistent')], 1, 200)
    (path / 'runs/lora/judge/gpt.pairs.json').write_text(json.dumps({'judge': 'gpt', 'other': 'full', **won}))
    return path


@pytest.fixture(scope='module')
def html(judged_dir):
    return page.write(judged_dir, PIECES, [END]).read_text(encoding='utf-8')


def rows_of(folder, name):
    with (folder / f'report/tables/{name}.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def test_without_a_judge_the_page_says_nothing_of_judges(workdir):
    page.write(workdir, PIECES, [END])
    assert 'judge' not in (workdir / 'report/index.html').read_text().lower()
    assert not list((workdir / 'report').rglob('*judge*'))
    assert not list((workdir / 'report').rglob('radar*'))


def test_every_mean_stands_beside_how_all_responses_ended(judged_dir, html):
    for row in rows_of(judged_dir, 'judged'):
        ended = [
            int(row[name])
            for name in ('scored', 'repaired', 'unparsed', 'refused', 'failed', 'missing', 'without_score')
        ]
        assert sum(ended) == 60
        assert ended[2:] == [1, 1, 1, 2, 0]
        assert int(row['n']) == sum(ended[:2]) == 55
        low, high = float(row['score_low']), float(row['score_high'])
        cell = f'{number(float(row["score"]))}<br><small>[{number(low)}, {number(high)}]</small>'
        assert f'<td class="words">{row["aspect"]}</td><td>{cell}</td>' in html


def test_differences_are_those_of_the_scores(judged_dir, html):
    rows = [row for row in rows_of(judged_dir, 'judged_pairs') if row['judge'] == 'oracle']
    assert len(rows) == 6 * 3
    row = next(r for r in rows if (r['first'], r['second'], r['aspect']) == ('lora', 'full', 'clarity'))
    scores = {
        run: {j.example_id: j.scores['clarity'] for j in judgement.read(judged_dir / f'runs/{run}/judge/oracle.jsonl')}
        for run in ('lora', 'full')
    }
    both = [name for name in scores['lora'] if None not in (scores['lora'][name], scores['full'].get(name))]
    wanted = np.mean([scores['lora'][name] - scores['full'][name] for name in both])
    assert float(row['difference']) == pytest.approx(wanted)
    assert number(wanted) in html


def test_groups_and_agreement_have_tables(judged_dir, html):
    groups = rows_of(judged_dir, 'judged_groups')
    assert [row['value'] for row in groups] == ['art'] * 32 + ['law <b>'] * 32  # 4 runs, 5 and 3 aspects
    assert 'topic law &lt;b&gt;' in html
    assert {(row['one'], row['other']) for row in rows_of(judged_dir, 'judge_agreement')} == {('gpt-4:x', 'oracle')}
    assert 'Agreement of judges' in html


def test_preferences_stand_beside_verdicts_that_do_not_count(judged_dir, html):
    (row,) = rows_of(judged_dir, 'judged_preferences')
    assert (row['run'], row['other'], row['win'], row['loss'], row['inconsistent']) == ('lora', 'full', '8', '1', '1')
    assert float(row['win_rate']) == pytest.approx(8 / 9)
    assert 'Which response is better' in html


def test_judgements_of_responses_that_are_no_more_are_named(judged_dir, tmp_path, html):
    assert 'given anew' not in html
    path = shutil.copytree(judged_dir, tmp_path / 'w')
    responses = path / 'runs/lora/responses.jsonl'
    (path / 'done').mkdir(exist_ok=True)
    made_of = {'oracle': hashlib.sha256(responses.read_bytes()).hexdigest(), 'gpt-4:x': 'others'}
    for name, digest in made_of.items():
        record = {'settings': {'responses': digest}, 'files': {}}
        (path / f'done/judge-lora.{name}.json').write_text(json.dumps(record))
    said = caveats.sentences(results.load(Workdir(path)))
    assert [line for line in said if 'given anew' in line] == [
        'runs/lora/judge/gpt-4:x.jsonl judges responses that run lora has since given anew, so its scores are not of '
        'those shown here. Judge again with that judge, or remove its files.'
    ]


def test_figures_of_every_judge_are_drawn(judged_dir, html):
    for name in ('radar', 'judged', 'differences'):
        for slug in ('gpt-4_x', 'oracle'):
            assert (judged_dir / f'report/figures/{name}-{slug}.png').stat().st_size > 1000
            assert f'figures/{name}-{slug}.svg' in html


def test_the_radar_begins_at_the_lowest_score_and_leaves_gaps():
    rows = [{'run': 'lora', 'aspect': aspect, 'score': 3.0} for aspect in ASPECTS]
    rows += [{'run': 'full', 'aspect': aspect, 'score': 4.0} for aspect in ASPECTS[1:]]
    (axes,) = judged_figures.radar(rows, METHODS).axes
    assert axes.get_ylim() == (1, 5)
    assert [text.get_text() for text in axes.get_xticklabels()] == list(ASPECTS)
    lora, full = axes.lines
    assert lora.get_ydata()[0] == lora.get_ydata()[-1] == 3
    assert np.isnan(full.get_ydata()[[0, -1]]).all()


def test_a_difference_stands_at_its_line_and_zero_is_drawn():
    row = {'aspect': 'depth', 'first': 'a', 'second': 'b', 'difference': 0.5, 'difference_low': 0.2,
           'difference_high': 0.8, 'at_equal_length': None}  # fmt: skip
    (axes,) = judged_figures.differences([row]).axes
    assert axes.get_title(loc='left') == 'depth'
    assert [text.get_text() for text in axes.get_yticklabels()] == ['a − b']
    points = [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == 'o']
    assert points == [(0.5, -0.13)]
    assert any(line.get_xdata() == [0, 0] for line in axes.lines)


def test_two_aspects_make_no_radar(tmp_path):
    rows = [{'run': 'lora', 'judge': 'j', 'aspect': aspect, 'score': 3.0} for aspect in ASPECTS[:2]]
    assert set(judged.draw({'judged': rows}, METHODS, tmp_path)) == {'judged-j'}


def test_long_tables_say_what_they_leave_to_the_file():
    rows = [{'run': f'r{i}', 'judge': 'j', 'aspect': 'depth'} for i in range(70)]
    pairs = [{'judge': 'j', 'aspect': 'depth', 'first': 'a', 'second': str(i)} for i in range(20)]
    (section,) = judged.sections({'judged': rows, 'judged_pairs': pairs})
    assert (len(section['rows']), section['left']['judged']) == (60, 10)
    assert section['pairs_not_drawn'] == 8


def test_a_broken_summary_is_named(judged_dir, tmp_path):
    shutil.copytree(judged_dir, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'runs/lora/judge/oracle.json').write_text('{')
    with pytest.raises(InputError, match=r'oracle\.json: cannot be read'):
        results.load(Workdir(tmp_path))
    (tmp_path / 'runs/lora/judge/oracle.json').write_text(json.dumps({'aspects': {}}))
    (tmp_path / 'runs/lora/judge/oracle.jsonl').write_text('{"example_id": 3}\n')
    with pytest.raises(InputError, match=r'oracle\.jsonl:1'):
        results.load(Workdir(tmp_path))
