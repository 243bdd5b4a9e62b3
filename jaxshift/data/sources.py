"""Reads records from where they lie; what they mean is for `shapes` and `formats`.

file:PATH                      a JSON, JSONL, Parquet, CSV or text file, a folder of such files, or a glob of files
datasets:NAME[[:CONFIG]:SPLIT] Hugging Face's datasets, if that package is installed
tfds:NAME[:SPLIT]              a TFDS data set that was prepared as ArrayRecord, read without TensorFlow; or its folder
"""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxshift.errors import InputError

KINDS = ('file', 'datasets', 'tfds')
SUFFIXES = ('.json', '.jsonl', '.parquet', '.csv', '.txt')


class Record(NamedTuple):
    """One record as it was read.

    Attributes:
      file: its file; the source itself where that is no file.
      number: its index in the file, from 0.
      where: 'file:line', or file and index; for messages to the user.
      value: a dict where the record is sound; where it cannot be read a ValueError of the problem and the fix.
    """

    file: str
    number: int
    where: str
    value: object


def check(source: str, key: str) -> None:
    """Refuses a source of no known kind, or without a file.

    Raises:
      InputError: names the key.
    """
    kind, _, rest = source.partition(':')
    if kind not in KINDS or not rest:
        raise InputError(f'{key} is {source!r}; give file:PATH, datasets:NAME, tfds:NAME or, with config.world, world:')
    if kind == 'file':
        try:
            _files(rest)
        except InputError as error:
            raise InputError(f'{key}: {error}') from None


def read(source: str) -> Iterator[Record]:
    """Yields the records of a source in order; folders and globs are sorted by path.

    Raises:
      InputError: it cannot be read. A single record at fault comes as a `ValueError` in its place instead.
    """
    kind, _, rest = source.partition(':')
    if kind == 'file':
        for path in _files(rest):
            found = _READERS.get(path.suffix.lower(), _json)(path)
            yield from (Record(str(path), index, where, value) for index, (where, value) in enumerate(found))
        return
    for index, value in enumerate(_datasets(rest) if kind == 'datasets' else _tfds(rest)):
        yield Record(source, index, _numbered(source, index), value)


def fingerprint(source: str) -> str:
    """SHA-256 of all that is read from a source."""
    digest = hashlib.sha256()
    kind, _, rest = source.partition(':')
    if kind == 'file':
        for path in _files(rest):
            with path.open('rb') as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, 'sha256').digest())
    else:
        for record in read(source):
            digest.update(json.dumps(record.value, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def fingerprints(several: Iterable[str]) -> str:
    """SHA-256 of all that is read from several sources."""
    return hashlib.sha256(' '.join(map(fingerprint, several)).encode()).hexdigest()


def _files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.is_file() and each.suffix.lower() in SUFFIXES)
        problem = f'the folder has no file {", ".join(SUFFIXES)}'
    else:
        files = sorted(each for each in map(Path, glob.glob(str(path), recursive=True)) if each.is_file())
        problem = 'does not exist' if glob.escape(str(path)) == str(path) else 'no such file'
    if not files:
        raise InputError(f'{path} {problem}; give the path of a file, of a folder of files, or a glob')
    return files


def _numbered(name: object, index: int) -> str:
    return f'{name}: record {index} (the first is 0)'


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding='utf-8-sig', newline='') as file:  # the line ends of CSV and plain text are theirs
            return file.read()
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); give the path of a readable file') from None
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: byte {error.start} is not UTF-8; convert the file to UTF-8') from None


def _json(path: Path) -> Iterator[tuple[str, object]]:
    text = _read_text(path)
    if text.lstrip().startswith('['):
        try:
            records = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f'{path}: not a JSON list ({error}); correct it, or write one record a line') from None
        yield from ((_numbered(path, index), record) for index, record in enumerate(records))
        return
    if text.strip() and not text.lstrip().startswith('{'):
        raise InputError(
            f'{path}: neither a JSON list of records nor one JSON record a line; convert it to one of them'
        )
    # Not splitlines: JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(text.split('\n'), start=1):
        if line.strip():
            try:
                yield f'{path}:{number}', json.loads(line)
            except (ValueError, RecursionError) as error:
                yield f'{path}:{number}', ValueError('is not JSON', f'{error}; each line must be one JSON record')


def _csv(path: Path) -> Iterator[tuple[str, object]]:
    """One record a row, named by its first line; an empty cell is an empty text."""
    csv.field_size_limit(1 << 30)  # the module's own limit, 128 KiB, is less than a long document
    rows = csv.reader(io.StringIO(_read_text(path), newline=''), strict=True)
    try:
        header = next(rows, [])
        if len(set(header)) < len(header):
            raise InputError(f'{path}:1: the header names a column twice; give each its own name')
        start = rows.line_num + 1
        for row in rows:
            if len(row) > len(header):
                fix = f'{len(row)}, not {len(header)}; quote a cell that holds a comma'
                yield f'{path}:{start}', ValueError('has more cells than the header', fix)
            elif row:
                yield f'{path}:{start}', dict(zip(header, row, strict=False))
            start = rows.line_num + 1
    except csv.Error as error:
        raise InputError(f'{path}:{rows.line_num}: not CSV ({error}); correct the line') from None


def _parquet(path: Path) -> Iterator[tuple[str, object]]:
    try:
        with pq.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            yield from ((_numbered(path, index), row) for index, row in enumerate(rows))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f'{path}: not a Parquet file ({_first_line(error)}); write it again') from None


def _text(path: Path) -> Iterator[tuple[str, object]]:
    """The whole file is one document."""
    yield f'{path}:1', {'text': _read_text(path)}


_READERS = {'.parquet': _parquet, '.csv': _csv, '.txt': _text}


def _datasets(rest: str) -> Iterator[object]:
    try:
        import datasets
    except ImportError:
        raise InputError(f"datasets:{rest} needs the package datasets; pip install 'jaxshift[datasets]'") from None
    name, *more = re.split(r':(?![^\[]*\])', rest)  # not the colon of train[:100]
    if len(more) > 2:
        raise InputError(f'datasets:{rest} has too many parts; give datasets:NAME, NAME:SPLIT or NAME:CONFIG:SPLIT')
    config, split = more[0] if len(more) == 2 else None, more[-1] if more else 'train'
    try:
        yield from datasets.load_dataset(name, config, split=split)
    except Exception as error:  # the hub and its formats raise whatever they like
        raise InputError(f'datasets:{rest}: not loaded ({_first_line(error)}); correct the name or the split') from None


def _tfds(rest: str) -> Iterator[object]:
    import tensorflow_datasets as tfds

    # Not the colon of train[:100], nor that of a version.
    name, *more = re.split(r':(?![^\[]*\]|\d+\.\d+\.\d+(?::|$))', rest)
    if len(more) > 1:
        raise InputError(f'tfds:{rest} has too many parts; give tfds:NAME or tfds:NAME:SPLIT')
    try:
        with tfds_quietly():
            builder = tfds.builder_from_directory(name) if Path(name).is_dir() else tfds.builder(name)
            rows = builder.as_data_source(more[0] if more else 'train')
        yield from map(_plain, rows)
    except Exception as error:  # TFDS raises of every kind
        raise InputError(
            f'tfds:{rest}: cannot be read ({_first_line(error)}); prepare it with file_format=array_record in '
            'TFDS_DATA_DIR, or give its folder'
        ) from None


def _plain(value: Any) -> object:
    """TFDS's arrays and bytes as the lists and texts that JSON would have."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.decode(errors='replace') if isinstance(value, bytes) else value


@contextlib.contextmanager
def tfds_quietly() -> Iterator[None]:
    """Keeps TFDS's bars, prints and absl lines from the user."""
    import tensorflow_datasets as tfds
    from absl import logging

    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
