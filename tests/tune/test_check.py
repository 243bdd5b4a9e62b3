import types

import pytest

from jaxshift.config import Run
from jaxshift.errors import InputError
from jaxshift.tune.train import check


def mesh(data=1, sequence=1):
    return types.SimpleNamespace(shape={'data': data, 'fsdp': 1, 'tensor': 1, 'sequence': sequence})


@pytest.mark.parametrize(('batch', 'micro', 'shards'), [(6, 4, 1), (4, 2, 4)])
def test_rows_that_cannot_be_dealt_are_refused(batch, micro, shards):
    run = Run(batch_size=batch, micro_batch_size=micro)
    with pytest.raises(InputError, match=rf'runs.a: batch_size {batch} .* micro_batch_size {micro}, .* {shards} row'):
        check(run, mesh(shards), 'runs.a', 96)
    check(Run(batch_size=8, micro_batch_size=4), mesh(shards), 'runs.a', 96)


@pytest.mark.parametrize(('parts', 'length'), [(3, 96), (4, 90), (64, 128)])
def test_positions_that_cannot_be_dealt_are_refused(parts, length):
    refused = f'mesh.sequence is {parts}; it must divide 32, the shortest row, and {length}, the longest'
    with pytest.raises(InputError, match=refused):
        check(Run(), mesh(sequence=parts), 'runs.a', length)
    check(Run(), mesh(sequence=2), 'runs.a', length)
