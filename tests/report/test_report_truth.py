import pytest

from jaxshift.causes import truth as causes
from jaxshift.report import truth
from jaxshift.shift import records


def test_truth_gives_intervals_to_shares_of_questions_alone():
    truths = {'full': {'held_out_n': 192, 'held_out_accuracy': 0.5, 'held_out_accuracy_se': 0.036, 'value_n': 80,
                       'kl_at_values': 0.4, 'borrowed_share': None, 'wrong_n': 3}}  # fmt: skip
    rows = {row['name']: row for row in truth.rows(truths)}
    assert set(rows) == {'held_out_accuracy', 'kl_at_values', 'borrowed_share'}
    assert rows['held_out_accuracy']['low'] == pytest.approx(0.43, abs=0.005)
    assert (rows['kl_at_values']['low'], rows['kl_at_values']['n']) == (None, 80)
    assert (rows['borrowed_share']['value'], rows['borrowed_share']['low']) == (None, None)


def test_a_figure_stands_beside_that_of_the_base():
    truths = {run: {'new_fact_n': 20, 'new_fact_accuracy': right, 'base_new_fact_n': 30, 'base_new_fact_accuracy': 0.0}
              for run, right in (('lora', 0.5), ('full', 1.0))}  # fmt: skip
    (line,) = truth.table(truth.rows(truths))
    assert line['figure'].title == 'new-fact accuracy'
    assert [(cell['value'], cell['n']) for cell in line['cells']] == [(0.0, 30), (0.5, 20), (1.0, 20)]


def test_a_figure_that_nothing_is_known_of_keeps_its_name():
    (line,) = truth.table(truth.rows({'lora': {'some_share': 0.5}}))
    assert line['figure'].title == 'some share'
    assert [cell and cell['value'] for cell in line['cells']] == [None, 0.5]


def test_every_figure_of_the_causes_is_explained():
    facts = {'questions': {'q': {'kind': 'held-out'}}, 'facts': [], 'values': {}, 'style_words': []}
    found = causes.of_responses(facts, []) | causes.of_tokens(facts, records.SCHEMA.empty_table(), [''])
    assert {name for name in found if not name.endswith(('_n', '_se'))} == set(truth.FIGURES)
    assert {figure.cases for figure in truth.FIGURES.values()} <= set(found)
