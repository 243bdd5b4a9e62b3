"""Which rows borrowing looks in, and which rows a retraining leaves out in their place."""

import numpy as np

from jaxshift.causes import suffixes
from jaxshift.data.rows import Row
from jaxshift.explain import corpora, retraining


def row(question, answer, name=''):
    tokens = np.array([*question, *answer], np.int32)
    return Row(tokens, np.arange(len(tokens)) >= len(question), name)


def keys(*prompts):
    return {np.array(prompt, np.int32).tobytes() for prompt in prompts}


def test_a_row_that_is_taken_several_times_is_looked_in_once_and_left_out_everywhere():
    rows = [row([1, 2], [5], 'a'), row([1, 3], [5], 'b'), row([1, 2], [5], 'a#2'), row([1, 2], [6], 'c')]
    found = corpora.distinct(rows, set())
    assert [each.example_id for each in found.rows.values()] == ['a', 'b', 'c']
    assert found.numbers == [[0, 2], [1], [3]]


def test_rows_that_answer_a_prompt_are_left_out_whatever_they_answer():
    two_turns = Row(np.array([1, 2, 8, 1, 4, 9], np.int32), np.array([0, 0, 1, 0, 0, 1], bool), 'd')
    rows = [row([1, 2], [5], 'a'), row([1, 2], [6, 7], 'b'), row([1, 3], [2], 'c'), two_turns]
    assert corpora.distinct(rows, keys([1, 2])).asked == 3
    found = corpora.distinct(rows, keys([1, 2, 8, 1, 4], [1]))
    assert (list(found.numbers), found.asked) == ([[0], [1], [2]], 1)


def test_rows_of_the_control_are_others_of_the_same_length():
    rng = np.random.default_rng(0)
    sizes = np.bincount(suffixes.index([np.arange(size) for size in [30] * 10 + [5] * 90]).row)
    drawn = [retraining.alike(sizes, {0, 1, 50}, rng) for _ in range(1500)]
    for rows in drawn:
        assert len(set(rows)) == 3
        assert set(rows).isdisjoint({0, 1, 50})
        assert sum(each < 10 for each in rows) == 2
    assert set().union(*drawn) == set(range(100)) - {0, 1, 50}
