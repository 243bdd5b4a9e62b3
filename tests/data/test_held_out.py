import types

import numpy as np
import pytest

from jaxshift.data.held_out import split
from jaxshift.errors import InputError


class Whole:
    """Example i has i + 1 tokens, all equal to i; so many `pieces` in a row are one text."""

    counts = types.MappingProxyType({'max_length': 64})

    def __init__(self, size, pieces=1):
        self.lengths = np.arange(1, size + 1)
        self.documents = np.arange(size) // pieces

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        return np.full(self.lengths[index], index)


def held(part):
    return [int(part[i][0]) for i in range(len(part))]


def test_every_example_is_trained_on_or_held_out():
    trained, apart = split(Whole(30), 7)
    assert (len(trained), len(apart)) == (23, 7)
    assert sorted(held(trained) + held(apart)) == list(range(30))
    for part in (trained, apart):
        assert [len(part[i]) for i in range(len(part))] == part.lengths.tolist()
        assert part.counts['max_length'] == 64


def test_they_are_drawn_from_everywhere_and_always_the_same():
    first, again = (held(split(Whole(1000), 100)[1]) for _ in range(2))
    assert first == again
    assert abs(np.mean(first) - 500) < 100
    assert set(held(split(Whole(1000), 40)[1])) < set(first)  # more held out takes none back


def test_nothing_held_out_leaves_the_order_alone():
    trained, apart = split(Whole(12), 0)
    assert held(trained) == list(range(12))
    assert len(apart) == 0


def test_the_pieces_of_a_text_stay_together():
    trained, apart = split(Whole(30, pieces=3), 4)
    assert (len(trained), len(apart)) == (18, 12)
    assert not {row // 3 for row in held(trained)} & {row // 3 for row in held(apart)}


@pytest.mark.parametrize('held_out', [12, 13])
def test_some_example_must_be_left(held_out):
    with pytest.raises(InputError, match=f'config.data.held_out is {held_out} of 12 examples; none is left'):
        split(Whole(12), held_out)
