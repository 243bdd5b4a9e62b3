import numpy as np
import pytest


@pytest.fixture(scope='session')
def leaf_of():
    """The value that our leaf must have, from torch's state dict: stacked, [in, out]."""

    def get(state, row, layers):
        turn = lambda tensor: tensor.float().numpy().T if row.transposed else tensor.float().numpy()  # noqa: E731
        if not row.stacked:
            return turn(state[row.hf])
        return np.stack([turn(state[row.name('hf', layer)]) for layer in range(layers)])

    return get
