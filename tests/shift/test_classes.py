import numpy as np
import pytest

from jaxshift.shift.classes import CLASSES, codes


def named(ranks, *thresholds):
    return [CLASSES[code] for code in codes(np.array(ranks), *thresholds).reshape(-1)]


def test_the_paper_s_classes_by_default():
    assert named([1, 2, 3, 4, 50_000]) == ['unshifted', 'marginal', 'marginal', 'shifted', 'shifted']


def test_other_thresholds_and_shapes():
    assert codes(np.array([[2, 3], [10, 11]]), 2, 10).shape == (2, 2)
    assert named([[2, 3], [10, 11]], 2, 10) == ['unshifted', 'marginal', 'marginal', 'shifted']
    assert named([1, 2], 1, 1) == ['unshifted', 'shifted']
    assert codes(np.zeros(0, int)).shape == (0,)


@pytest.mark.parametrize(('ranks', 'thresholds'), [([0, 1], (1, 3)), ([1], (3, 1)), ([1], (0, 3))])
def test_impossible_ranks_and_thresholds_are_refused(ranks, thresholds):
    with pytest.raises(ValueError, match='rank|threshold'):
        codes(np.array(ranks), *thresholds)
