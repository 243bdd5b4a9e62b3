"""The section of uncertainty as a predictor."""

from types import SimpleNamespace

import numpy as np
from made_up import fake_rows

from jaxshift.causes import uncertainty as analysis
from jaxshift.report import uncertainty


def found(auc=0.8, shifted=(0.5, 1.0)):
    area = {'value': auc, 'interval': [0.7, 0.9] if auc else None}
    predictor = {'auc': {'shifted': area, 'moved': area}, 'caught': dict.fromkeys(('shifted', 'moved', 'kl'), shifted)}
    figures = {
        'positions': 1200, 'prompts': 20, 'shifted': 30, 'moved': 60,
        'predictors': {'base_probability': predictor, 'base_entropy': predictor},
        'undecided': {
            'positions': 120, 'share': 0.1, 'caught': {'shifted': 0.5, 'moved': 0.4, 'kl': 0.3},
            'precision': {'shifted': 0.125, 'moved': 0.2},
        },
    }  # fmt: skip
    explained = {'lora': {'uncertainty': {'flagged': [0.1, 1.0], 'all': figures, 'without_end': figures}}}
    return SimpleNamespace(explained=explained, config={'runs': {'lora': {'method': 'lora'}}})


def test_the_sentence_says_how_well_uncertainty_predicts():
    section = uncertainty.section(found())
    assert section.sentences == [
        'lora: the probability of the base’s likeliest token tells shifted positions from others with an AUC of 0.800 '
        '[0.700, 0.900]; where it is below 1/2 (10 % of 1,200 positions) lie 50 % of the shifted ones, and of them '
        '12.5 % are shifted.'
    ]
    assert [row['auc_shifted_low'] for row in section.tables['uncertainty']] == [0.7] * 4
    assert section.tables['uncertainty_curves'][0] == {
        'run': 'lora', 'positions_counted': 'all', 'predictor': 'base_probability', 'flagged': 0.1,
        'shifted_caught': 0.5, 'moved_caught': 0.5, 'kl_caught': 0.5,
    }  # fmt: skip


def test_without_a_shift_nothing_is_predicted():
    section = uncertainty.section(found(None, (None, None)))
    assert section.sentences == ['lora: no position is shifted, so nothing can be predicted.']
    assert 'uncertainty' in section.figures


def test_the_records_of_a_run_have_what_the_analysis_reads():
    (rows,) = {table.num_columns: table for table in fake_rows('lora', 0.5, 1, 0)}.values()
    figures = analysis.figures(rows, 10, 0)
    assert figures['positions'] == rows.num_rows
    assert np.isfinite(figures['predictors']['base_entropy']['caught']['kl']).all()
