import types

import numpy as np
import pytest


@pytest.fixture(scope='session')
def rows():
    """Makes what a data set gives, held in memory: examples of 40 tokens' vocabulary with a prompt and a response."""

    class Rows:
        def __init__(self, lengths, max_length=48):
            random = np.random.default_rng(11)
            self.lengths = np.asarray(lengths, np.int32)
            self.counts = {'max_length': max_length}
            self._rows = []
            for length in lengths:
                tokens = random.integers(3, 40, length).astype(np.int32)
                trained = np.arange(length) >= random.integers(1, length)
                self._rows.append(types.SimpleNamespace(tokens=tokens, trained=trained))

        def __len__(self):
            return len(self._rows)

        def __getitem__(self, index):
            return self._rows[index]

    return Rows


@pytest.fixture(scope='session')
def data(rows):
    return rows(np.random.default_rng(4).integers(6, 30, 40))
