"""How queries are dealt; that attention stays the same is for tests/devices/test_sequence_devices.py."""

import math

import numpy as np
import pytest

from jaxshift.llama import attention, kernels, sequence, splash


def seen_by_loops(positions, keys, block, window):
    """Number of blocks of which some query sees some key, by looking at every pair."""
    count = 0
    for queries in positions.reshape(-1, block):
        for first in range(0, keys, block):
            of_keys = range(first, first + block)
            count += any(0 <= q - k < (window or keys) for q in queries for k in of_keys)
    return count


@pytest.mark.parametrize('shards', [2, 3, 4, 8])
def test_each_shard_has_a_piece_of_every_run_and_every_query_is_dealt_once(shards):
    length, piece = shards * shards * 6, 6
    dealt = sequence.positions(length, shards)
    assert sorted(dealt.ravel()) == list(range(length))
    pieces = dealt.reshape(shards, shards, piece)
    np.testing.assert_array_equal(pieces - pieces[..., :1], np.broadcast_to(np.arange(piece), pieces.shape))
    np.testing.assert_array_equal(pieces[..., 0] // (length // shards), np.tile(np.arange(shards), (shards, 1)))


@pytest.mark.parametrize(
    ('length', 'shards', 'block', 'missing'),
    [
        (131_072, 4, 1024, 0),
        (131_072, 16, 512, 0),
        (129_536, 2, 1024, 1536),  # in blocks of 128 it does not fit a TPU's scalar memory
        (100_000, 4, 512, 6496),
        (3000, 3, 128, 456),
    ],
)
def test_pieces_are_of_whole_blocks_and_the_longer_ones_of_large_blocks(length, shards, block, missing):
    assert sequence.padding(length, shards) == missing
    assert math.gcd((length + missing) // shards**2, kernels.SPLASH_BLOCK) == block


@pytest.mark.parametrize('window', [None, 4])
@pytest.mark.parametrize('shards', [2, 4, 8])
def test_every_shard_looks_at_equally_many_blocks_of_keys_and_at_none_in_vain(monkeypatch, shards, window):
    monkeypatch.setattr(attention, 'BLOCK', 4)
    length = shards * shards * 4
    dealt = sequence.positions(length, shards)
    counts = [int(attention.seen_blocks(own.reshape(-1, 4), length // 4, window).sum()) for own in dealt]
    assert counts == [seen_by_loops(own, length, 4, window) for own in dealt]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize('window', [None, 128])
@pytest.mark.parametrize('shards', [2, 4])
def test_so_do_the_parts_of_the_splash_kernel(shards, window):
    block = 128
    length = shards * shards * block
    dealt = sequence.positions(length, shards)
    kernel = splash.kernel(dealt.reshape(-1), length, 4, window, block, shards)
    seen = dealt[..., None] >= np.arange(length)
    if window:
        seen &= dealt[..., None] - np.arange(length) < window
    expected = seen.reshape(shards, shards, block, -1, block).any((2, 4)).sum((1, 2))
    assert max(expected) - min(expected) <= 1
    for info in (kernel.fwd_mask_info, kernel.dq_mask_info, kernel.dkv_mask_info):
        blocks = np.asarray(info.block_mask)
        parts = blocks.reshape(shards, -1)
        np.testing.assert_array_equal((parts > 0).sum(1), expected)


@pytest.mark.parametrize('window', [None, 7, 40])
def test_a_block_of_the_mask_is_what_its_queries_see(window):
    positions = sequence.positions(64, 2).reshape(-1)
    mask = splash.Seen(positions, 64, window)
    for q in range(0, 64, 8):
        for k in range(0, 64, 16):
            rows, columns = positions[q : q + 8, None], np.arange(k, k + 16)
            expected = (rows >= columns) & (rows - columns < (window or 64))
            found = np.broadcast_to(mask[slice(q, q + 8), slice(k, k + 16)], expected.shape)
            np.testing.assert_array_equal(found, expected)
