"""The section of weight space, from figures with a known answer."""

from types import SimpleNamespace

import pytest

from jaxshift.report import weights


def module(kind, layer, norm, base_norm, rank=None, intruders=None, shares=None, directions=None):
    return {
        'module': f'model.layers.{layer}.{kind}', 'kind': kind, 'layer': layer, 'norm': norm, 'base_norm': base_norm,
        'effective_rank': rank, 'stable_rank': rank, 'shares': shares, 'intruders': intruders,
        'directions': directions,
    }  # fmt: skip


MODULES = [
    module('q_proj', 0, 3.0, 30.0, 2, 1, [0.6, 0.95, 1.0], 10),
    module('q_proj', 1, 4.0, 40.0, 5, 0, [0.3, 0.5, 0.95], 4),
    module('norm', None, 0.0, 5.0),
]


def found(modules):
    figures = {'share': 0.9, 'directions': 10, 'epsilon': 0.5, 'unchanged': 4, 'modules': modules}
    return SimpleNamespace(
        explained={'lora': {'weights': figures}, 'other': {}},
        config={'runs': {'lora': {'method': 'lora'}}},
    )


def test_a_row_sums_up_a_kind_of_module():
    section = weights.section(found(MODULES))
    first, second = section.tables['weights']
    assert first['relative_norm'] == pytest.approx(0.1)  # 5 of 50, not the mean of two ratios
    assert (first['modules'], first['effective_rank_median'], first['effective_rank_greatest']) == (2, 3.5, 5)
    assert (first['intruders'], first['intruders_a_module']) == (1, 0.5)
    assert (second['effective_rank_median'], second['intruders']) == (None, None)
    assert 'weights' in section.figures


def test_a_sentence_says_what_changed_and_what_did_not():
    text = weights.section(found(MODULES)).sentences[1]
    assert text.startswith('lora: changed 3 modules by 9.95 % of their norm and left 4 modules alone')
    assert 'effective rank 3.50 in the median, 5 at most' in text
    assert '1 intruder dimension among 14 directions' in text


def test_a_run_that_changed_nothing_is_said_to():
    section = weights.section(found([]))
    assert section.sentences[1] == 'lora: no weight changed.'
    assert not section.figures


def test_without_the_analysis_there_is_no_section():
    assert weights.section(SimpleNamespace(explained={'lora': {}})) is None


def test_no_intruders_stand_on_a_scale_of_whole_ones():
    figure, _ = weights.section(found([each | {'intruders': 0} for each in MODULES[:2]])).figures['weights']
    assert figure.axes[1].get_ylim() == (0, 1)
