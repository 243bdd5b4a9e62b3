"""Borrowing as a user asks for it, on a tiny world."""

import dataclasses
import json
import shutil
import typing

import numpy as np
import pyarrow.parquet as pq
import pytest
from commandline import TINY, start
from planted import SPAN

from jaxshift import config, tuning
from jaxshift.data import dataset
from jaxshift.devices.process import StopSignal
from jaxshift.explain import borrowing, corpora, retraining
from jaxshift.shift import records
from jaxshift.store import jsonl
from jaxshift.store.paths import Workdir
from jaxshift.study import Study


def read(folder, run='full'):
    return json.loads((folder / f'runs/{run}/causes/borrowing.json').read_text())


def asked(folder, *more):
    ended = start(
        *TINY, '--only=full', f'--workdir={folder}', '--mode=causes', '--config.causes.analyses=borrowing', *more
    )
    assert ended.code == 0, ended.err
    return ended.out


def study(folder, only=('full',)):
    """The study that lies in a workdir."""
    kept = json.loads((folder / 'experiment.json').read_text())['config']
    return Study(made(config.Experiment, kept), Workdir(folder), only, StopSignal(), print)


def made(kind, value):
    """A value of a config, from JSON."""
    if dataclasses.is_dataclass(kind):
        kinds = typing.get_type_hints(kind)
        return kind(**{name: made(kinds[name], inner) for name, inner in value.items()})
    if isinstance(value, dict):
        (inner,) = {*typing.get_args(kind)} - {str, type(None)}
        named = typing.get_origin(kind) is dict
        return {name: made(inner, each) for name, each in value.items()} if named else made(inner, value)
    return tuple(value) if isinstance(value, list) else value


def test_every_span_stands_in_the_rows_that_are_named_and_in_the_response(planted):
    asked(planted)
    rows = {row['row']: row for row in pq.read_table(planted / 'runs/full/causes/borrowing.rows.parquet').to_pylist()}
    assert rows
    records_of = json.loads((planted / 'data/world/instructions.json').read_text())
    for row in rows.values():
        assert row['example_id'] == records_of[row['row']]['id']
        assert records_of[row['row']]['output'] in row['text']
        assert f' {row["span"]} ' in f' {row["text"]} '
        assert 1 <= row['bm25_rank'] <= row['rows']
    answers = {row['example_id']: row['response'] for row in jsonl.read(planted / 'runs/full/responses.jsonl')}
    for span in pq.read_table(planted / 'runs/full/causes/borrowing.spans.parquet').to_pylist():
        words = answers[span['example_id']].split()[span['position'] : span['position'] + span['tokens']]
        assert ' '.join(words) == span['text']
        assert span['unshifted'] + span['marginal'] + span['shifted'] == span['tokens'] >= 5


def test_what_was_planted_is_found_and_the_page_shows_it(planted):
    asked(planted)
    figures = read(planted)
    assert figures['covered']['p'] == pytest.approx(1 / 1001)
    assert figures['covered']['tuning']['mean'] > SPAN / (SPAN + 12) - 0.05
    strongest = figures['examples'][0]
    assert strongest['rows'] == 1
    assert strongest['span'] in strongest['row_by_bm25']['text']
    ended = start(*TINY, '--only=full', f'--workdir={planted}', '--mode=report')
    assert ended.code == 0, ended.err
    page = (planted / 'report/index.html').read_text(encoding='utf-8')
    assert 'Borrowing from the tuning data' in page
    assert strongest['row_by_bm25']['text'] in page


def prompts(folder):
    return [np.array(row['prompt_token_ids']) for row in jsonl.read(folder / 'runs/full/responses.jsonl')]


def test_the_null_corpus_of_a_world_is_of_its_kind_and_nothing_trains_on_it(planted):
    asked(planted)
    found = corpora.read(study(planted), '', prompts(planted))
    texts = [[tuple(row.tolist()) for row in rows] for rows in (found.tuning, found.null)]
    assert len(texts[0]) == 24
    assert set(texts[0]).isdisjoint(texts[1])
    figures = read(planted)
    assert 0.8 < figures['tokens'] / figures['null_tokens'] < 1.25
    assert figures['null_is'] == 'instructions of the same world that no run trains on'


def test_rows_of_a_null_file_that_are_trained_on_are_left_out(planted, tmp_path):
    records_of = json.loads((planted / 'data/world/instructions.json').read_text())
    unseen = [{'instruction': 'where is she ?', 'output': each['output'][::-1]} for each in records_of[:9]]
    (tmp_path / 'mixed.json').write_text(json.dumps([*records_of, *unseen, *unseen]))
    out = asked(planted, f'--config.causes.borrowing_null=file:{tmp_path}/mixed.json')
    figures = read(planted)
    assert figures['null_all_rows'] == 9
    assert (figures['left_out']['null_trained'], figures['left_out']['null_copies']) == (24, 9)
    assert 'borrowing full: left out null_copies 9, null_trained 24' in out


def test_a_null_file_of_trained_rows_alone_is_refused(planted, tmp_path):
    shutil.copy(planted / 'data/world/instructions.json', tmp_path / 'same.json')
    ended = start(
        *TINY, '--only=full', f'--workdir={planted}', '--mode=causes', '--config.causes.analyses=borrowing',
        f'--config.causes.borrowing_null=file:{tmp_path}/same.json',
    )  # fmt: skip
    assert ended.code == 2
    assert 'no row is left for borrowing to look in (null_trained 24); set' in ended.error()


@pytest.mark.parametrize(
    ('settings', 'reason'),
    [
        ({}, 'there is no tuning data here'),
        ({'data': True}, 'there are no rows that no run trains on'),
        ({'data': True, 'sweep': config.Sweep(contexts=('base',))}, 'it needs the comparison of context own'),
    ],
)
def test_where_it_cannot_be_asked_it_says_so_and_passes(settings, reason, tmp_path):
    (tmp_path / 'data.json').write_text(json.dumps([{'instruction': 'ask', 'output': 'say'}]))
    if 'data' in settings:
        settings = settings | {'data': config.Data(source=f'file:{tmp_path}/data.json')}
    said = []
    ours = Study(config.Experiment(**settings), Workdir(tmp_path), (), StopSignal(), said.append)
    assert not borrowing.ANALYSIS.applies(ours)
    assert [line.startswith(f'borrowing: passed over; {reason}') for line in said] == [True]


def test_log_probabilities_of_the_proof_are_those_of_the_sweep(planted):
    ours = study(planted)
    answers = borrowing.read_answers(ours, 'full')
    search = borrowing.looked_up(ours, answers, corpora.read(ours, '', answers.prompts))[0]
    params = tuning.tuned(ours, 'full')
    both = [retraining.logprobs(ours, model, search) for model in (params, ours.base_params)]
    table = records.read(planted / 'runs/full/tokens')
    swept = {
        (row['example_id'], row['position']): (row['emitted_tuned_logprob'], row['emitted_base_logprob'])
        for row in table.to_pylist()
    }
    places = [(name, at) for name, text in zip(answers.ids, answers.texts, strict=True) for at in range(len(text))]
    np.testing.assert_allclose(np.stack(both, axis=1), [swept[place] for place in places], atol=1e-4)
    np.testing.assert_allclose(answers.logprobs, both[0], atol=1e-4)


def test_a_run_is_trained_again_without_the_rows_that_its_spans_came_from(planted):
    asked(planted, '--config.causes.retrain=true')
    path = planted / 'runs/full/causes/borrowing.retrained.json'
    found = json.loads(path.read_text())
    assert (found['rows'], found['left_out']) == (24, 2)
    means = {name: found[name]['mean'] for name in ('change_suspected', 'change_random', 'difference')}
    assert means['difference'] == pytest.approx(means['change_suspected'] - means['change_random'])
    # What was planted needs its rows: other rows of like length are missed less.
    assert found['difference']['interval'][1] < 0
    assert abs(found['between_controls']['mean']) > 0
    kept = planted / 'runs/full/causes/retraining'
    assert len(list(kept.glob('*.npy'))) == len(list(kept.iterdir())) == 3
    # It is kept by a start that does not ask for it, and goes with the spans that it is of.
    assert 'causes full.borrowing: done before' in asked(planted)
    assert path.exists()
    removed = 'causes full.borrowing.retrained: removed, it was made of borrowing as it was'
    assert removed in asked(planted, '--config.causes.borrowing_min_length=4')
    assert not path.exists()
    assert removed not in asked(planted)
    # Other resamples train nothing: each of the three has only to be looked up.
    times = {each.stat().st_mtime_ns for each in kept.iterdir()}
    asked(planted, '--config.causes.retrain=true', '--config.sweep.bootstrap=60')
    again = json.loads(path.read_text())
    assert again['difference']['mean'] == found['difference']['mean']
    assert {each.stat().st_mtime_ns for each in kept.iterdir()} == times
    # The run itself is what it was.
    assert 'train full: done before' in start(*TINY, f'--workdir={planted}', '--mode=train').out


def test_leaving_out_nothing_trains_the_same_run(planted):
    ours = study(planted)
    again, before = tuning.tuned_without(ours, 'full', [], planted / 'again'), tuning.tuned(ours, 'full')
    np.testing.assert_array_equal(again['embed_tokens'], before['embed_tokens'])


def test_rows_are_drawn_to_equal_numbers_of_tokens():
    rng = np.random.default_rng(0)
    small, large = ([np.zeros(size, int) for size in rng.integers(5, 50, count)] for count in (40, 400))
    one, other = corpora.equal(small, large, 0)
    assert one.tolist() == list(range(40))
    tokens = sum(map(len, small))
    assert tokens - 50 < sum(len(large[i]) for i in other) <= tokens
    assert len(set(other.tolist())) == len(other)
    assert corpora.equal(small, large, 1)[1].tolist() != other.tolist()


def test_held_out_rows_are_the_null_corpus_where_there_are_some(tmp_path):
    ended = start(
        *TINY, f'--workdir={tmp_path}', '--only=full', '--config.data.held_out=6', '--config.data.subset=10',
        '--config.causes.analyses=borrowing',
    )  # fmt: skip
    assert ended.code == 0, ended.err
    figures = read(tmp_path)
    assert figures['null_is'] == 'rows of its instruction data that the run does not train on'
    assert (figures['all_rows'], figures['null_all_rows']) == (10, 14)
    trained = dataset.open_dataset(tmp_path / 'data')
    assert len(trained) == 16
