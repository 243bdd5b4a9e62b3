"""The published numbers, by hand from the paper, and how ours are held to them."""

import pytest

from jaxshift.report import reference

BASE = 'hf:meta-llama/Llama-2-7b-hf'


def row(**columns):
    plain = {'base': BASE, 'data': 'alpaca', 'size': 1000, 'test': 'just-eval', 'run': 'lora'}
    return plain | {'published_as': 'lora', 'learning_rate': 5e-5} | columns


@pytest.mark.parametrize('source', [BASE, 'dir:/models/Llama-2-7b-hf', 'dir:Llama-2-7b-hf/'])
def test_a_base_is_known_by_the_last_part_of_its_source(source):
    assert reference.base_of(source) == 'Llama-2-7b-hf'


def test_the_ends_of_figure_1():
    ends = {}
    for data, sizes in (('alpaca', (1000, 52_000)), ('tulu', (1000, 326_000))):
        value = {(p['method'], p['size']): p['value'] for p in reference.points(BASE, data)['aligntds_kl']}
        ends[data] = [value[method, size] for method in ('lora', 'full') for size in sizes]
    assert ends == {'alpaca': [0.134, 0.146, 0.534, 0.765], 'tulu': [0.069, 0.116, 0.439, 0.570]}


@pytest.mark.parametrize(('method', 'size', 'values'), [('lora', 1000, (0.48, 0.13)), ('full', 52_000, (1.08, 0.74))])
def test_figure_4_is_held_to_the_old_arithmetic_and_said_to_name_no_data(method, size, values):
    ours = {'aligntds_sentence_start': 0.5, 'aligntds_sentence_rest': 0.5, 'sentence_start': 9.0}
    found = reference.compare([row(published_as=method, size=size, **ours)])
    assert tuple(each['published'] for each in found) == values
    assert {each['ours'] for each in found} == {0.5}
    assert {each['suspect'] for each in found} == {'the paper does not name the data'}


def test_runs_at_another_learning_rate_than_the_papers_are_held_to_nothing():
    assert reference.compare([row(learning_rate=3e-4, aligntds_kl=0.14, score_clarity=3.0)]) == []


def test_neftune_is_held_to_its_own_row():
    found = reference.compare([row(published_as='neftune', size=52_000, score_clarity=3.0, aligntds_kl=0.1)])
    scores = reference.published()['scores']['rows']
    (values,) = [each[-1] for each in scores if each[3:8] == ['neftune', 'alpaca', 52_000, 'just-eval', 'aspects']]
    assert [each['published'] for each in found] == [values[1]]


def test_scores_by_task_are_told_apart_from_those_by_aspect():
    found = reference.compare([row(score_clarity=3.0, task_score_coding=2.0)])
    assert [('suspect' in each and bool(each['suspect']), each['ours']) for each in found] == [
        (False, 3.0),
        (True, 2.0),
    ]


@pytest.mark.parametrize(('test', 'rows'), [('just-eval', {(13, 9)}), ('medinstruct-test', {(13, 11)}), ('', set())])
def test_scores_of_one_test_are_not_held_to_those_of_another(test, rows):
    found = reference.compare([row(data='dolly', size=15_000, test=test, score_clarity=3.0)])
    assert {each['what'] for each in found} == {f'Table {t}, row {r}, {test}, clarity' for t, r in rows}


def test_all_rows_of_the_tables_are_there():
    scores = reference.published()['scores']
    assert len(scores['rows']) == 254
    assert {len(values) for values in scores['rows']} == {len(scores['columns'])}


@pytest.mark.parametrize(
    ('columns', 'within'),
    [
        ({'aligntds_kl': 0.14}, 'yes'),
        ({'aligntds_kl': 0.2}, 'no'),
        ({'aligntds_kl': 0.2, 'aligntds_kl_low': 0.12, 'aligntds_kl_high': 0.28}, 'yes'),
    ],
)
def test_a_number_is_held_to_the_published_one(columns, within):
    (found,) = reference.compare([row(**columns)])
    assert (found['what'], found['published'], found['within']) == ('Figure 1, KL', 0.134, within)
    assert found['tolerance'] == pytest.approx(0.01 + 0.0134)


def test_exact_measures_are_not_held_to_it():
    assert reference.compare([row(kl_tuned_base=0.134)]) == []


def test_other_bases_have_no_published_numbers():
    assert reference.compare([row(base='world:', aligntds_kl=0.1)]) == []


def test_a_suspect_row_is_marked_where_it_is_shown():
    found = reference.compare([
        row(base='hf:mistralai/Mistral-7B-v0.1', published_as='full', data='dolly', size=15_000, score_clarity=3.0)
    ])  # fmt: skip
    assert found
    assert all('divergence' in each['suspect'] for each in found)
    assert {(each['table'], each['row']) for each in reference.suspects()} >= {(14, 9), (14, 43), (14, 44)}
