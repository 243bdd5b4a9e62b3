import numpy as np
import pyarrow as pa
import pytest

from jaxshift.shift import curves

PIECES = ['</s>', 'a', ' b', '.', ' c.', '!"', '\n', ' "', '"', ' d', ' e?', '。', '3', '.)\n']


def make(lengths, seed=0, tokens=None):
    """Responses of the given lengths; prompt i has its own level of KL."""
    rng = np.random.default_rng(seed)
    ids = [f'q{i:03d}' for i, length in enumerate(lengths) for _ in range(length)]
    level = np.repeat(rng.gamma(2.0, 0.5, len(lengths)), np.array(lengths, int))
    size = sum(lengths)
    return pa.table(
        {
            'example_id': pa.array(ids, pa.string()),
            'position': pa.array([t for n in lengths for t in range(n)], pa.int32()),
            'token_id': pa.array(rng.integers(0, len(PIECES), size) if tokens is None else tokens, pa.int32()),
            'kl_tuned_base': pa.array(level * rng.random(size), pa.float32()),
        }
    )


def starts_by_loop(table, end_ids):
    """The docstring's rule, token by token."""
    marks, quotes = set('.!?。！？…'), set('"\'”’»)]」』')
    sentences = []
    last_example, closed = None, True
    for row, (example, token) in enumerate(
        zip(*(table[c].to_pylist() for c in ('example_id', 'token_id')), strict=True)
    ):
        text = PIECES[token]
        bare = text.rstrip().rstrip(''.join(quotes))
        closes = '\n' in text or (bare != '' and bare[-1] in marks)
        only_marks = text != '' and text[0] != ' ' and all(c in marks | quotes | set('\n\r\t ') for c in text)
        joins = only_marks or token in end_ids
        if example != last_example or (closed and not joins):
            sentences.append([])
            closed = closes
        else:
            closed = closes or (closed and joins)
        sentences[-1].append(row)
        last_example = example
    starts = np.zeros(table.num_rows, bool)
    for sentence in sentences:
        first = max(1, int(0.05 * len(sentence) + 0.5))
        starts[sentence[:first]] = True
    return starts


@pytest.mark.parametrize('seed', range(5))
def test_sentence_starts_follow_the_rule_token_by_token(seed):
    rng = np.random.default_rng(seed)
    # Mostly plain words, so that long sentences occur too.
    tokens = np.where(rng.random(3000) < 0.9, 1, rng.integers(0, len(PIECES), 3000))
    table = make([1, 2, 497, 800, 1700], tokens=tokens)
    for end_ids in ((), (0,)):
        np.testing.assert_array_equal(
            curves.sentence_starts(table, PIECES, end_ids), starts_by_loop(table, end_ids), strict=True
        )


@pytest.mark.parametrize(
    ('tokens', 'starts'),
    [
        ([1, 2, 3, 1, 2, 3, 0], '1001000'),  # the end token belongs to the last sentence
        ([1, 4, 1, 10, 9], '10101'),  # a mark at the end of a longer token
        ([1, 3, 8, 1], '1001'),  # a closing quote joins the sentence before it
        ([1, 3, 7, 1], '1010'),  # a quote after a blank opens the next one
        ([1, 6, 6, 1, 11, 1], '100101'),  # newlines close together; Chinese marks count
        ([12, 3, 12], '101'),  # no rule for decimals
        ([0], '1'),
        ([3, 1], '11'),
    ],
)
def test_sentences_end_where_the_docstring_says(tokens, starts):
    table = make([len(tokens)], tokens=tokens)
    assert curves.sentence_starts(table, PIECES, [0]).tolist() == [mark == '1' for mark in starts]


def test_five_percent_are_rounded_to_the_nearest_and_at_least_one():
    for length, first in ((1, 1), (10, 1), (29, 1), (30, 2), (49, 2), (50, 3), (69, 3), (200, 10)):
        table = make([length], tokens=np.ones(length, int))
        assert curves.sentence_starts(table, PIECES).sum() == first
    assert curves.sentence_starts(make([]), PIECES).tolist() == []


def test_absolute_positions_against_a_loop():
    table = make([5, 1, 9, 3])
    curve = curves.by_position(table, 'kl_tuned_base', bootstrap=50)
    at: dict[int, list[float]] = {}
    for place, kl in zip(table['position'].to_pylist(), table['kl_tuned_base'].to_pylist(), strict=True):
        at.setdefault(place, []).append(kl)
    assert curve.at.tolist() == list(range(9))
    np.testing.assert_allclose(curve.mean, [sum(at[t]) / len(at[t]) for t in range(9)], rtol=1e-12)
    assert curve.n.tolist() == [4, 3, 3, 2, 2, 1, 1, 1, 1]
    assert np.isnan(curve.low[5:]).all()  # a single prompt has no spread
    assert (curve.low[:5] <= curve.mean[:5]).all()
    assert (curve.mean[:5] <= curve.high[:5]).all()


def test_relative_positions_against_a_loop():
    lengths = [5, 40, 21, 1]
    table = make(lengths)
    curve = curves.by_relative_position(table, 'kl_tuned_base', bootstrap=50)
    bins: list[list[float]] = [[] for _ in range(20)]
    row = 0
    for length in lengths:
        for t in range(length):
            bins[int((t + 0.5) / length * 20)].append(table['kl_tuned_base'][row].as_py())
            row += 1
    assert curve.n.tolist() == [len(values) for values in bins]
    np.testing.assert_allclose(curve.mean, [np.mean(values) for values in bins], rtol=1e-12)
    assert curve.at[0] == 0.025


def test_an_empty_table_has_empty_curves():
    empty = make([])
    assert curves.by_position(empty, 'kl_tuned_base').n.tolist() == []
    curve = curves.by_relative_position(empty, 'kl_tuned_base')
    assert curve.n.sum() == 0
    assert np.isnan(curve.mean).all()


def test_the_ratio_of_two_runs_resamples_their_prompts_together():
    table = make([5, 9, 14, 3, 8])
    doubled = table.set_column(3, 'kl_tuned_base', pa.array(2 * table['kl_tuned_base'].to_numpy()))
    # Twice as much on every prompt is twice as much in every resample, however far apart the prompts are.
    assert curves.ratio(doubled, table, 'kl_tuned_base', 200, 0) == pytest.approx((2.0, 2.0, 2.0, 5))


def test_the_ratio_of_two_runs_keeps_to_shared_prompts():
    table = make([5, 9, 14, 3, 8])
    fewer = table.filter(pa.array([name != 'q000' for name in table['example_id'].to_pylist()]))
    assert curves.ratio(table, fewer, 'kl_tuned_base', 200, 0) == pytest.approx((1.0, 1.0, 1.0, 4))
    assert curves.ratio(table, make([]), 'kl_tuned_base', 200, 0)[3] == 0


def test_rows_are_put_in_order():
    table = make([3, 4])
    shuffled = table.take([6, 0, 3, 2, 5, 1, 4])
    assert curves.in_order(shuffled).equals(table)


def test_samples_are_responses_of_one_prompt():
    table = make([3, 4, 5]).set_column(0, 'example_id', pa.array(['q'] * 3 + ['q#1'] * 4 + ['r'] * 5))
    curve = curves.by_position(table, 'kl_tuned_base', bootstrap=10, samples=2)
    assert curve.n[:4].tolist() == [3, 3, 3, 2]
    assert curve.prompts[:4].tolist() == [2, 2, 2, 2]
    assert curves.by_relative_position(table, 'kl_tuned_base', bootstrap=10).n.sum() == 12
    assert curves.in_order(table.take([11, 4, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10]))['example_id'].to_pylist() == (
        ['q'] * 3 + ['q#1'] * 4 + ['r'] * 5
    )


@pytest.mark.parametrize(('samples', 'prompts'), [(2, 1), (1, 2)])
def test_the_ratio_of_two_runs_counts_prompts_and_not_their_samples(samples, prompts):
    table = make([5, 9]).set_column(0, 'example_id', pa.array(['q'] * 5 + ['q#1'] * 9))
    value, low, high, counted = curves.ratio(table, table, 'kl_tuned_base', 50, 0, samples)
    assert (value, counted) == (1.0, prompts)
    assert np.isnan([low, high]).tolist() == [prompts == 1] * 2
