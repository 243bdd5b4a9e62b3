"""A batch is a function of the step: every example once an epoch, for any number of processes and from any start."""

import itertools

import numpy as np
import pytest

from jaxshift.data import batches, dataset
from jaxshift.data.batches import Schedule, plan_packs
from jaxshift.errors import InputError


@pytest.fixture(scope='module')
def texts(tmp_path_factory, bare):
    """37 rows of 3 to 75 tokens."""
    return dataset.build_texts(tmp_path_factory.mktemp('texts'), ['x' * (1 + 2 * i) for i in range(37)], bare, 80)


def schedule(texts, pack=False, **settings):
    return Schedule(
        texts.lengths, **{'seed': 1, 'epochs': 2.0, 'batch_size': 8, 'max_length': 80, 'pack': pack, **settings}
    )


def names(arrays):
    """The token sequences of a batch, in order."""
    return [
        tuple(tokens[segments == segment])
        for tokens, segments in zip(arrays['tokens'], arrays['segments'], strict=True)
        for segment in range(1, segments.max() + 1)
    ]


@pytest.mark.parametrize('pack', [False, True])
def test_a_plan_has_every_example_once_and_rows_fit(pack):
    lengths = np.random.default_rng(0).integers(1, 257, 5000)
    rows = plan_packs(lengths, seed=3, epoch=0, max_length=256, pack=pack)
    assert sorted(itertools.chain(*rows)) == list(range(5000))
    assert all(sum(lengths[index] for index in row) <= 256 for row in rows)
    assert rows == plan_packs(lengths, seed=3, epoch=0, max_length=256, pack=pack)
    assert rows != plan_packs(lengths, seed=3, epoch=1, max_length=256, pack=pack)
    assert rows != plan_packs(lengths, seed=4, epoch=0, max_length=256, pack=pack)
    if pack:
        assert lengths.sum() / (256 * len(rows)) > 0.95
    else:
        assert all(len(row) == 1 for row in rows)


@pytest.mark.parametrize(('examples', 'steps'), [(1000, 94), (15_011, 1408), (52_002, 4876), (326_154, 30_577)])
def test_steps_of_the_paper(examples, steps):
    """LIMA, dolly, Alpaca and Tulu: 3 epochs, 32 examples a step."""
    plan = Schedule(np.full(examples, 9), seed=0, epochs=3.0, batch_size=32, max_length=9, pack=False)
    assert plan.steps == steps
    last = plan.rows(steps - 1)
    assert len(last) == 32
    assert sum(map(len, last)) == examples * 3 - (steps - 1) * 32


@pytest.mark.parametrize('pack', [False, True])
def test_epochs_follow_each_other_without_a_gap(texts, pack):
    plan = schedule(texts, pack, epochs=3.0)
    seen = [row for step in range(plan.steps) for row in plan.rows(step) if row]
    epochs = [plan_packs(texts.lengths, 1, epoch, 80, pack) for epoch in range(3)]
    assert seen == list(itertools.chain(*epochs))
    assert list(plan.rows(2)) == seen[2 * 8 : 3 * 8]  # an early step, after a later epoch was read


def test_bounds_on_steps():
    lengths = np.full(10, 4)

    def steps(pack=False, **settings):
        return Schedule(lengths, seed=0, batch_size=4, max_length=8, pack=pack, **settings).steps

    assert steps(epochs=0.5) == 2  # 5 rows
    assert steps(epochs=0.1) == 1
    assert steps(epochs=2.5) == 7  # 25 rows
    assert steps(epochs=2.5, pack=True) == 4  # 12.5 rows of two
    assert steps(epochs=1.0, min_steps=9) == 9
    assert steps(epochs=1.0, min_steps=9, pack=True) == 9
    assert steps(epochs=100.0, max_steps=3) == 3
    assert steps(epochs=1.0, max_steps=30) == 3
    plan = Schedule(lengths, seed=0, epochs=1.0, batch_size=4, max_length=8, pack=False, min_steps=9)
    assert all(all(plan.rows(step)) for step in range(9))  # more epochs, not empty rows
    with pytest.raises(IndexError):
        plan.rows(9)


@pytest.mark.parametrize(
    ('settings', 'problem'),
    [
        ({'lengths': np.zeros(0, int)}, 'no step to train: 0 examples'),
        ({'epochs': 0.0}, 'epochs 0.0'),
        ({'max_length': 3}, 'an example has 4 tokens'),
        ({'min_steps': 5, 'max_steps': 4}, 'max_steps 4 is below min_steps 5'),
    ],
)
def test_what_cannot_be_planned(settings, problem):
    given = {'lengths': np.full(10, 4), 'seed': 0, 'epochs': 1.0, 'batch_size': 4, 'max_length': 8, 'pack': False}
    with pytest.raises(InputError, match=problem):
        Schedule(**{**given, **settings})


@pytest.mark.parametrize('pack', [False, True])
def test_a_batch_holds_whole_examples_with_their_own_positions(texts, pack):
    plan = schedule(texts, pack)
    for step in range(plan.steps):
        arrays = batches.batch(texts, plan, step)
        assert {name: array.dtype for name, array in arrays.items()} == {
            'tokens': np.int32,
            'positions': np.int32,
            'segments': np.int32,
            'trained': np.bool_,
        }
        assert {array.shape for array in arrays.values()} == {(8, plan.row_length(step))}
        rows = plan.rows(step)
        assert names(arrays) == [tuple(texts[index].tokens) for row in rows for index in row]
        for number, row in enumerate(rows):
            expected = [position for index in row for position in range(texts.lengths[index])]
            padding = [0] * (plan.row_length(step) - len(expected))
            assert arrays['positions'][number].tolist() == expected + padding
            assert arrays['trained'][number].tolist() == [position > 0 for position in expected] + [False] * len(
                padding
            )


def test_rows_have_few_lengths():
    def length(tokens, max_length=5000):
        return Schedule(np.array([tokens]), 0, 1.0, 1, max_length, False).row_length(0)

    borders = [32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096]
    assert [length(border) for border in borders] == borders
    assert [length(border + 1) for border in borders] == [*borders[1:], 5000]
    assert length(1) == 32
    assert length(20, max_length=24) == 24
    assert Schedule(np.array([20]), 0, 1.0, 1, 100, True).row_length(0) == 100


@pytest.mark.parametrize('pack', [False, True])
@pytest.mark.parametrize('processes', [2, 8])
def test_slices_of_the_global_batch_hold_the_same_examples(texts, pack, processes):
    plan = schedule(texts, pack)
    for step in range(plan.steps):
        whole = batches.batch(texts, plan, step)
        slices = [batches.batch(texts, plan, step, process, processes) for process in range(processes)]
        for name, array in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in slices]), array)


def test_a_restart_reads_the_same_batches(texts):
    plan = schedule(texts, pack=True)
    first = list(batches.loader(texts, plan))
    assert [step for step, _ in first] == list(range(plan.steps))
    again = list(batches.loader(texts, schedule(texts, pack=True), start_step=3))
    assert [step for step, _ in again] == list(range(3, plan.steps))
    for (_, before), (_, after) in zip(first[3:], again, strict=True):
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array)
    assert list(batches.loader(texts, plan, start_step=plan.steps)) == []


def test_a_batch_that_cannot_be_shared_is_an_error(texts):
    with pytest.raises(InputError, match='batch_size 8 cannot be shared by 3 processes'):
        batches.loader(texts, schedule(texts), process_count=3)
