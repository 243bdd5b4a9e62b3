import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxshift.errors import InputError
from jaxshift.shift import records

DESIGN = """
run context template context_length example_id position token_id base_argmax_id tuned_argmax_id base_rank
emitted_base_rank emitted_tuned_rank base_logprob tuned_logprob emitted_base_logprob emitted_tuned_logprob kl_tuned_base
kl_base_tuned js total_variation base_entropy tuned_entropy shift_class top_ids_base top_logprobs_base top_ids_tuned
top_logprobs_tuned
"""


def fake(size, k=3, seed=0):
    rng = np.random.default_rng(seed)
    measures = {}
    for name, kind in records.MEASURES.items():
        whole = pa.types.is_integer(kind)
        measures[name] = rng.integers(1, 9, size, np.int32) if whole else rng.random(size, np.float32)
    for name, kind in records.LISTS.items():
        whole = pa.types.is_integer(kind.value_type)
        measures[name] = rng.integers(1, 9, (size, k), np.int32) if whole else rng.random((size, k), np.float32)
    return measures


def rows(size=7, seed=0, run='lora', context_length=-1, measures=None, **more):
    measures = measures or fake(size, seed=seed)
    more = {'positions': np.arange(size)} | more
    return records.table(run, 'own', 'matched', context_length, ['q1'] * size, measures, **more)


def test_the_columns_are_those_of_the_design_in_their_order(tmp_path):
    records.write_part(tmp_path, 0, rows())
    table = records.read(tmp_path)
    assert table.column_names == DESIGN.split()
    kinds = {field.name: str(field.type) for field in table.schema}
    assert all(kinds[n] == 'int32' for n in kinds if n.endswith(('_id', '_rank')) and n != 'example_id')
    assert {kinds[n] for n in ('run', 'context', 'template', 'shift_class')} == {
        'dictionary<values=string, indices=int32, ordered=0>'
    }
    assert (kinds['example_id'], kinds['position'], kinds['context_length']) == ('string', 'int32', 'int32')
    assert {kinds[n] for n in ('kl_tuned_base', 'js', 'base_logprob')} == {'float'}
    lists = [table.schema.field(name).type for name in DESIGN.split()[-4:]]
    assert all(pa.types.is_list(kind) for kind in lists)
    assert [str(kind.value_type) for kind in lists] == ['int32', 'float'] * 2


def test_what_is_written_is_read_again(tmp_path):
    measures = fake(7)
    written = rows(context_length=64, measures=measures)
    records.write_part(tmp_path, 0, written)
    table = records.read(tmp_path)
    assert table.equals(written)
    for name in records.MEASURES:
        np.testing.assert_array_equal(table[name].to_numpy(), measures[name])
    for name in records.LISTS:
        np.testing.assert_array_equal(np.array(table[name].to_pylist(), measures[name].dtype), measures[name])
    ranks = measures['base_rank']
    expected = ['unshifted' if r == 1 else 'marginal' if r <= 3 else 'shifted' for r in ranks]
    assert table['shift_class'].to_pylist() == expected
    assert table['context_length'].to_pylist() == [64] * 7
    assert table['example_id'].to_pylist() == ['q1'] * 7
    assert table['position'].to_pylist() == list(range(7))


def test_parts_are_joined_in_order_and_columns_chosen(tmp_path):
    records.write_part(tmp_path, 1, rows(4, seed=1, run='full'))
    records.write_part(tmp_path, 0, rows(3))
    table = records.read(tmp_path, ['run', 'position'])
    assert table.column_names == ['run', 'position']
    assert table['run'].to_pylist() == ['lora'] * 3 + ['full'] * 4


def test_thresholds_set_the_classes():
    table = rows(thresholds=(4, 6))
    expected = ['unshifted' if r <= 4 else 'marginal' if r <= 6 else 'shifted' for r in table['base_rank'].to_pylist()]
    assert table['shift_class'].to_pylist() == expected


def test_the_step_is_there_only_when_given(tmp_path):
    assert 'step' not in rows().column_names
    records.write_part(tmp_path, 0, rows(step=40))
    step = records.read(tmp_path)['step']
    assert step.type == pa.int64()
    assert step.to_pylist() == [40] * 7
    assert records.read(tmp_path, ['step']).num_rows == 7


def test_positions_of_another_number_are_refused():
    with pytest.raises(ValueError, match='columns of different lengths'):
        rows(positions=np.arange(6))


@pytest.mark.parametrize('change', [{'js': None}, {'odd': np.zeros(7)}, {'js': np.zeros(6)}])
def test_missing_unknown_and_short_measures_are_refused(change):
    measures = {name: value for name, value in (fake(7) | change).items() if value is not None}
    with pytest.raises(ValueError, match=next(iter(change))):
        rows(measures=measures)


def test_an_unfinished_part_is_never_seen(tmp_path, monkeypatch):
    records.write_part(tmp_path, 0, rows())

    def broken(table, file, **_):
        file.write(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(pq, 'write_table', broken)
    with pytest.raises(OSError, match='disk full'):
        records.write_part(tmp_path, 1, rows())
    assert [path.name for path in tmp_path.glob('*.parquet')] == ['part-00000.parquet']
    assert records.read(tmp_path).num_rows == 7


def test_no_part_and_a_missing_part_are_named(tmp_path):
    with pytest.raises(InputError, match='run the sweep'):
        records.read(tmp_path)
    records.write_part(tmp_path, 0, rows())
    records.write_part(tmp_path, 2, rows())
    with pytest.raises(InputError, match=r'part-00001\.parquet: missing'):
        records.read(tmp_path)


def test_a_part_without_a_column_is_named(tmp_path):
    records.write_part(tmp_path, 0, rows().drop_columns(['js']))
    with pytest.raises(InputError, match=r"part-00000\.parquet: column 'js'"):
        records.read(tmp_path)
    assert records.read(tmp_path, ['run']).num_rows == 7


def test_a_flipped_bit_gives_an_error_or_the_same_rows(tmp_path):
    path = records.write_part(tmp_path, 0, rows())
    good, table = path.read_bytes(), records.read(tmp_path)
    errors = []
    for place in range(0, len(good), 37):
        bad = bytearray(good)
        bad[place] ^= 16
        path.write_bytes(bad)
        try:
            assert records.read(tmp_path).equals(table)
        except InputError as error:
            errors.append(str(error))
    assert len(errors) > 50
    assert all('part-00000.parquet' in error and '\n' not in error for error in errors)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match='damaged'):
        records.read(tmp_path)
