import json
import math

import numpy as np
import pyarrow as pa
import pytest

from jaxshift.errors import InputError, RunFailed
from jaxshift.shift import curves, records, summary

PIECES = ['</s>', 'a', ' b', '.', ' c', '\n', ' d']
END = 0
WHOLE = {'token_id', 'base_argmax_id', 'tuned_argmax_id', 'base_rank', 'emitted_base_rank', 'emitted_tuned_rank'}


def make(lengths, seed=0, run='lora', context_length=-1, end_tokens=True):
    rng = np.random.default_rng(seed)
    size = sum(lengths)
    measures = {n: rng.integers(1, 7, size) if n in WHOLE else rng.random(size) for n in records.MEASURES}
    measures['base_logprob'] = -rng.exponential(1, size)
    measures['kl_tuned_base'] = rng.exponential(1, size)
    measures['tuned_argmax_id'] = measures['token_id']
    if end_tokens:
        measures['token_id'][np.cumsum(lengths) - 1] = END
    measures |= {name: np.zeros((size, 2)) for name in records.LISTS}
    ids = [f'q{i:04d}' for i, length in enumerate(lengths) for _ in range(length)]
    positions = np.concatenate([np.arange(length) for length in lengths])
    return records.table(run, 'own', 'matched', context_length, ids, measures, positions=positions)


def test_every_mean_against_a_loop():
    table = make([4, 1, 12, 30, 7])
    (item,) = summary.summarise(table, PIECES, [END], bootstrap=100)
    rows = table.to_pylist()
    starts = curves.sentence_starts(table, PIECES, [END])
    for which, keep in (('all', lambda row: True), ('without_end', lambda row: row['token_id'] != END)):
        kept = [row for row in rows if keep(row)]
        figures = item[which]
        assert figures['positions'] == len(kept)
        assert figures['responses'] == len({row['example_id'] for row in kept})
        cases = {
            **{n: n for n in ('kl_tuned_base', 'kl_base_tuned', 'js', 'total_variation', 'base_entropy', 'base_rank')},
            'base_probability': lambda row: math.exp(row['base_logprob']),
            'same_top_1': lambda row: 100.0 * (row['base_argmax_id'] == row['tuned_argmax_id']),
            'emitted_is_tuned_argmax': lambda row: 100.0 * (row['token_id'] == row['tuned_argmax_id']),
        }
        for name, value in cases.items():
            of = value if callable(value) else lambda row, value=value: row[value]
            by_response: dict[str, list[float]] = {}
            for row in kept:
                by_response.setdefault(row['example_id'], []).append(of(row))
            everything = [v for values in by_response.values() for v in values]
            assert figures[name]['mean'] == pytest.approx(math.fsum(everything) / len(everything), rel=1e-12)
            means = [math.fsum(values) / len(values) for values in by_response.values()]
            assert figures[name]['mean_of_response_means'] == pytest.approx(math.fsum(means) / len(means), rel=1e-12)
        for name, share in figures['shares'].items():
            count = sum(row['shift_class'] == name for row in kept)
            assert share['mean'] == pytest.approx(100 * count / len(kept))
    for name, chosen in (('sentence_start', starts), ('sentence_rest', ~starts)):
        kl = [row['kl_tuned_base'] for row, inside in zip(rows, chosen, strict=True) if inside]
        assert item['all'][name]['mean'] == pytest.approx(math.fsum(kl) / len(kl), rel=1e-12)
        assert item['all'][name]['positions'] == len(kl)


def test_the_divergence_of_the_old_arithmetic_is_told_by_its_place_in_sentences_too():
    table = make([4, 12, 30])
    compat = np.random.default_rng(1).normal(size=table.num_rows)
    starts = curves.sentence_starts(table, PIECES, [END])
    table = table.append_column('aligntds_kl', pa.array(compat, pa.float32()))
    figures = summary.summarise(table, PIECES, [END], bootstrap=10)[0]['all']
    for name, chosen in (('aligntds_sentence_start', starts), ('aligntds_sentence_rest', ~starts)):
        assert figures[name]['mean'] == pytest.approx(math.fsum(compat[chosen]) / chosen.sum(), rel=1e-6)


def test_class_shares_sum_to_one_hundred_percent():
    (item,) = summary.summarise(make([9, 33, 2]), PIECES, [END], bootstrap=10)
    for which in summary.POSITIONS:
        assert sum(share['mean'] for share in item[which]['shares'].values()) == pytest.approx(100, abs=1e-9)


def test_quantiles_of_kl():
    table = make([400, 300, 302])
    kl = sorted(table['kl_tuned_base'].to_pylist())
    figures = summary.summarise(table, PIECES, [END], bootstrap=10)[0]['all']['kl_tuned_base']
    for name, share in (('median', 0.5), ('90%', 0.9), ('95%', 0.95), ('99%', 0.99), ('99.9%', 0.999)):
        place = share * (len(kl) - 1)
        below = int(place)
        expected = kl[below] + (place - below) * (kl[min(below + 1, len(kl) - 1)] - kl[below])
        assert figures[name] == pytest.approx(expected, rel=1e-6)
    assert figures['greatest'] == kl[-1]


def test_an_untouched_model_reads_zero_shift():
    size = 20
    measures = {n: np.ones(size, int) if n in WHOLE else np.zeros(size) for n in records.MEASURES}
    measures |= {name: np.zeros((size, 2)) for name in records.LISTS}
    positions = np.tile(np.arange(10), 2)
    table = records.table('lora', 'own', 'matched', -1, ['a'] * 10 + ['b'] * 10, measures, positions=positions)
    figures = summary.summarise(table, PIECES, [END], bootstrap=20)[0]['all']
    assert figures['kl_tuned_base']['mean'] == 0
    assert figures['kl_tuned_base']['interval'] == [0, 0]
    assert figures['shares']['unshifted']['mean'] == 100
    assert figures['base_rank']['mean'] == 1
    assert figures['same_top_1']['mean'] == 100


def test_intervals_hold_the_mean_and_follow_the_seed():
    table = make([5] * 40)
    one, two, other = (summary.summarise(table, PIECES, [END], seed, 200)[0]['all'] for seed in (0, 0, 1))
    assert one == two
    assert one['kl_tuned_base']['interval'] != other['kl_tuned_base']['interval']
    low, high = one['kl_tuned_base']['interval']
    assert low < one['kl_tuned_base']['mean'] < high


def test_one_prompt_gives_no_interval():
    figures = summary.summarise(make([8]), PIECES, [END])[0]['all']
    assert figures['kl_tuned_base']['interval'] is None
    assert figures['kl_tuned_base']['mean'] is not None


def test_responses_that_are_nothing_but_the_end_token(tmp_path):
    (item,) = summary.summarise(make([1, 1]), PIECES, [END])
    assert item['without_end']['positions'] == 0
    assert item['without_end']['kl_tuned_base']['mean'] is None
    assert item['without_end']['kl_tuned_base']['greatest'] is None
    summary.write(tmp_path / 'summary.json', [item])


def test_one_object_for_each_window_length_and_extras_in_all():
    table = pa.concat_tables([make([5, 6], context_length=c) for c in (-1, 16)])
    items = summary.summarise(
        table, PIECES, [END], bootstrap=10, extra={('own', 'matched'): {'method': 'lora', 'counts': {'cut': 1}}}
    )
    assert [(item['context'], item['template'], item['context_length']) for item in items] == [
        ('own', 'matched', -1), ('own', 'matched', 16),
    ]  # fmt: skip
    assert all(item['method'] == 'lora' and item['counts'] == {'cut': 1} for item in items)


def test_the_order_of_the_rows_does_not_matter():
    table = make([5, 17, 9])
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    in_order = summary.summarise(table, PIECES, [END], bootstrap=20)
    assert summary.summarise(shuffled, PIECES, [END], bootstrap=20) == in_order


def test_a_measure_that_is_not_finite_is_named():
    table = make([5, 5])
    kl = table['kl_tuned_base'].to_numpy().copy()
    kl[7] = np.nan
    place = table.column_names.index('kl_tuned_base')
    with pytest.raises(RunFailed, match='example q0001, position 2: kl_tuned_base is nan'):
        summary.summarise(table.set_column(place, 'kl_tuned_base', pa.array(kl)), PIECES, [END])


def test_the_file_is_plain_json(tmp_path):
    path = tmp_path / 'runs/lora/summary.json'
    items = summary.summarise(make([5, 6, 1]), PIECES, [END], bootstrap=10)
    summary.write(path, items)
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == items
    assert summary.read(path) == items
    with pytest.raises(ValueError, match='JSON'):
        summary.write(path, [{'mean': float('nan')}])
    assert summary.read(path) == items


@pytest.mark.parametrize('text', ['{', '{}', '[1]'])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / 'summary.json'
    path.write_text(text)
    with pytest.raises(InputError, match=r'summary\.json'):
        summary.read(path)


def test_samples_of_a_prompt_are_resampled_together():
    table = make([6, 6, 6, 6])
    names = {'q0000': 'a', 'q0001': 'a#1', 'q0002': 'b', 'q0003': 'b#1'}
    ids = pa.array([names[name] for name in table['example_id'].to_pylist()])
    (item,) = summary.summarise(table.set_column(4, 'example_id', ids), PIECES, [END], bootstrap=200, samples=2)
    merged = pa.array([name[0] for name in ids.to_pylist()])
    (whole,) = summary.summarise(table.set_column(4, 'example_id', merged), PIECES, [END], bootstrap=200)
    assert (item['all']['responses'], item['all']['prompts']) == (4, 2)
    assert item['all']['kl_tuned_base']['interval'] == pytest.approx(whole['all']['kl_tuned_base']['interval'])
