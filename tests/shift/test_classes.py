import numpy as np
import pytest

from jaxshift.shift.classes import CLASSES, classify, codes


def test_the_paper_s_classes_by_default():
    assert classify(np.array([1, 2, 3, 4, 50_000])).tolist() == [
        'unshifted', 'marginal', 'marginal', 'shifted', 'shifted',
    ]  # fmt: skip


def test_other_thresholds_and_shapes():
    assert classify(np.array([[2, 3], [10, 11]]), 2, 10).tolist() == [
        ['unshifted', 'marginal'],
        ['marginal', 'shifted'],
    ]
    assert classify(np.array([1, 2]), 1, 1).tolist() == ['unshifted', 'shifted']
    assert classify(np.zeros(0, int)).tolist() == []


def test_codes_are_indices_of_the_classes():
    ranks = np.arange(1, 9)
    assert [CLASSES[code] for code in codes(ranks)] == classify(ranks).tolist()


@pytest.mark.parametrize(('ranks', 'thresholds'), [([0, 1], (1, 3)), ([1], (3, 1)), ([1], (0, 3))])
def test_impossible_ranks_and_thresholds_are_refused(ranks, thresholds):
    with pytest.raises(ValueError, match='rank|threshold'):
        classify(np.array(ranks), *thresholds)
