"""The section of uncertainty as a predictor."""

from types import SimpleNamespace

import numpy as np
import pytest
from made_up import fake_rows

from jaxshift.causes import uncertainty as analysis
from jaxshift.report import uncertainty


def about(value):
    return {'value': value, 'interval': None if value is None else [value - 0.1, value + 0.1]}


def found(auc=0.8, shifted=(0.5, 0.9)):
    caught = dict.fromkeys(('shifted', 'moved', 'kl'), [about(value) for value in shifted])
    predictor = {'auc': {'shifted': about(auc), 'moved': about(auc)}, 'caught': caught}
    figures = {
        'positions': 1200, 'prompts': 20, 'shifted': 30, 'moved': 60,
        'predictors': {'base_probability': predictor, 'base_entropy': predictor},
        'undecided': {
            'positions': 240, 'share': about(0.2),
            'caught': {'shifted': about(0.5), 'moved': about(0.4), 'kl': about(0.3)},
            'precision': {'shifted': about(0.125), 'moved': about(0.2)},
        },
    }  # fmt: skip
    explained = {'lora': {'uncertainty': {'flagged': [0.1, 1.0], 'all': figures, 'without_end': figures}}}
    return SimpleNamespace(explained=explained, config={'runs': {'lora': {'method': 'lora'}}})


def test_the_sentence_says_how_well_uncertainty_predicts():
    section = uncertainty.section(found())
    assert section.sentences == [
        'lora: the probability of the base’s likeliest token tells shifted positions from others with an AUC of 0.800 '
        '[0.700, 0.900]; where it is below 1/2 (20 % [10, 30] of 1,200 positions) lie 50 % [40, 60] of the '
        'shifted ones, and of them 12.5 % [2.5, 22.5] are shifted.'
    ]
    assert [row['auc_shifted_low'] for row in section.tables['uncertainty']] == pytest.approx([0.7] * 4)
    assert section.tables['uncertainty_curves'][0] == {
        'run': 'lora', 'positions_counted': 'all', 'predictor': 'base_probability', 'flagged': 0.1,
        'shifted_caught': 0.5, 'shifted_caught_low': 0.4, 'shifted_caught_high': 0.6,
        'moved_caught': 0.5, 'moved_caught_low': 0.4, 'moved_caught_high': 0.6,
        'kl_caught': 0.5, 'kl_caught_low': 0.4, 'kl_caught_high': 0.6,
    }  # fmt: skip
    row = section.tables['uncertainty_undecided'][0]
    assert [row[f'shifted_precision{end}'] for end in ('_low', '', '_high')] == pytest.approx([0.025, 0.125, 0.225])


def test_the_curve_has_a_band_of_its_interval():
    figure, _ = uncertainty.section(found()).figures['uncertainty']
    for axes in figure.axes:
        (band,) = axes.collections
        corners = {tuple(point) for path in band.get_paths() for point in path.vertices.round(6)}
        assert corners >= {(10, 40), (10, 60), (100, 80), (100, 100)}


def test_without_a_shift_nothing_is_predicted():
    section = uncertainty.section(found(None, (None, None)))
    assert section.sentences == ['lora: no position is shifted, so nothing can be predicted.']
    assert 'uncertainty' in section.figures


def test_the_records_of_a_run_have_what_the_analysis_reads():
    (rows,) = {table.num_columns: table for table in fake_rows('lora', 0.5, 1, 0)}.values()
    figures = analysis.figures(rows, 10, 0)
    assert figures['positions'] == rows.num_rows
    assert np.isfinite([each['value'] for each in figures['predictors']['base_entropy']['caught']['kl']]).all()
