"""Token records: one Parquet row for each response position of a comparison."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jaxshift.errors import InputError
from jaxshift.shift import aligntds, classes

_TEXT = pa.dictionary(pa.int32(), pa.string())
_IDS = pa.list_(pa.int32())
_LOGPROBS = pa.list_(pa.float32())

# The measures in the order of the record; the names are those of `shift.measures`.
MEASURES: dict[str, pa.DataType] = {
    'token_id': pa.int32(),
    'base_argmax_id': pa.int32(),
    'tuned_argmax_id': pa.int32(),
    'base_rank': pa.int32(),
    'emitted_base_rank': pa.int32(),
    'emitted_tuned_rank': pa.int32(),
    'base_logprob': pa.float32(),
    'tuned_logprob': pa.float32(),
    'emitted_base_logprob': pa.float32(),
    'emitted_tuned_logprob': pa.float32(),
    'kl_tuned_base': pa.float32(),
    'kl_base_tuned': pa.float32(),
    'js': pa.float32(),
    'total_variation': pa.float32(),
    'base_entropy': pa.float32(),
    'tuned_entropy': pa.float32(),
}
LISTS: dict[str, pa.DataType] = {
    'top_ids_base': _IDS,
    'top_logprobs_base': _LOGPROBS,
    'top_ids_tuned': _IDS,
    'top_logprobs_tuned': _LOGPROBS,
}
SCHEMA = pa.schema(
    [
        ('run', _TEXT),
        ('context', _TEXT),
        ('template', _TEXT),
        ('context_length', pa.int32()),
        ('example_id', pa.string()),
        ('position', pa.int32()),
        *MEASURES.items(),
        ('shift_class', _TEXT),
        *LISTS.items(),
    ]
)
STEP = pa.field('step', pa.int64())  # only in measures taken at training checkpoints
COMPAT = [pa.field(name, pa.float32()) for name in aligntds.COLUMNS]  # only where config.sweep.compat asks for them


def table(
    run: str,
    context: str,
    template: str,
    context_length: int,
    example_ids: Sequence[str],
    measures: Mapping[str, np.ndarray],
    thresholds: tuple[int, int] = (1, 3),
    *,
    positions: np.ndarray,
    step: int | None = None,
) -> pa.Table:
    """Rows of `SCHEMA` for N positions.

    Args:
      context_length: prompt tokens of the window; -1: the whole prompt.
      example_ids: [N], the example of each position.
      measures: arrays [N] under the names of `MEASURES` and [N, k] under those of `LISTS`; with those of
        `aligntds.columns` too, the rows have its columns.
      thresholds: base ranks above the first are not unshifted, above the second shifted.
      positions: [N], 0-based in the response.
      step: the training step of the measured checkpoint; adds the column `step`.

    Raises:
      ValueError: when a measure is missing, unknown, or of another length.
    """
    compat = COMPAT if COMPAT[0].name in measures else []
    wanted = [*MEASURES, *LISTS, *(field.name for field in compat)]
    if set(measures) != set(wanted):
        odd = sorted(set(measures) ^ set(wanted))
        raise ValueError(f'measures missing or unknown: {", ".join(odd)}')
    size = len(measures['token_id'])
    lengths = {'example_id': len(example_ids), 'position': len(positions), **{k: len(v) for k, v in measures.items()}}
    if any(length != size for length in lengths.values()):
        raise ValueError(f'columns of different lengths: {lengths}')
    columns = {
        'run': _constant(run, size),
        'context': _constant(context, size),
        'template': _constant(template, size),
        'context_length': np.full(size, context_length, np.int32),
        'example_id': pa.array(example_ids, pa.string()),
        'position': np.asarray(positions, np.int32),
        **{name: np.asarray(measures[name], kind.to_pandas_dtype()) for name, kind in MEASURES.items()},
        'shift_class': pa.DictionaryArray.from_arrays(
            classes.codes(measures['base_rank'], *thresholds).astype(np.int32), pa.array(classes.CLASSES)
        ),
        **{name: _lists(np.asarray(measures[name]), kind.value_type) for name, kind in LISTS.items()},
    }
    schema = SCHEMA
    for field in compat:
        schema = schema.append(field)
        columns[field.name] = np.asarray(measures[field.name], np.float32)
    if step is not None:
        schema = schema.append(STEP)
        columns['step'] = np.full(size, step, np.int64)
    arrays = [c if isinstance(c, pa.Array) else pa.array(c, schema.field(n).type) for n, c in columns.items()]
    return pa.Table.from_arrays(arrays, schema=schema)


def _constant(text: str, size: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(size, np.int32), pa.array([text]))


def _lists(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    offsets = np.arange(values.shape[0] + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1).astype(kind.to_pandas_dtype()), kind))


def part_path(folder: str | Path, index: int) -> Path:
    """Where a part lies."""
    return Path(folder) / f'part-{index:05d}.parquet'


def write_part(folder: str | Path, index: int, rows: pa.Table) -> Path:
    """Writes `part-NNNNN.parquet` whole or not at all, with a checksum for every page; returns its path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = part_path(folder, index)
    unfinished = path.with_suffix('.parquet.tmp')
    with unfinished.open('wb') as file:
        pq.write_table(rows, file, compression='zstd', write_page_checksum=True)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return path


def read(folder: str | Path, columns: Sequence[str] | None = None, examples: Collection[str] | None = None) -> pa.Table:
    """All parts of a folder in order, or some of their columns and examples; an unfinished `.tmp` is passed over.

    Raises:
      InputError: no part at all, a gap in their numbers, a part that is damaged or lacks a column.
    """
    folder = Path(folder)
    paths = sorted(folder.glob('part-*.parquet'))
    if not paths:
        raise InputError(f'{folder}: no part-*.parquet; run the sweep (--mode=sweep) first')
    for index, path in enumerate(paths):
        if path != (missing := part_path(folder, index)):
            raise InputError(f'{missing}: missing, though {path.name} is there; remove the folder and sweep again')
    parts = [_of(_read_part(path, columns), examples) for path in paths]
    return pa.concat_tables(parts).unify_dictionaries()


def _of(rows: pa.Table, examples: Collection[str] | None) -> pa.Table:
    if examples is None:
        return rows
    return rows.filter(pc.is_in(rows['example_id'], pa.array(sorted(examples), pa.string())))


def _read_part(path: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        # One file at a time: a read of the whole folder would not name the part that is at fault.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            for field in SCHEMA if columns is None else [_field(name) for name in columns]:
                if field.name not in schema.names or schema.field(field.name).type != field.type:
                    raise InputError(f'{path}: column {field.name!r} is missing or not {field.type}; sweep again')
            return file.read(columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f'{path}: damaged ({reason}); remove the folder and sweep again') from error


def _field(name: str) -> pa.Field:
    return next(field for field in (*SCHEMA, STEP, *COMPAT) if field.name == name)
