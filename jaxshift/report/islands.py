"""Columns of numbers and texts inside a page, for its own script: gzipped, in base64, behind a line of JSON.

An element is `<script type="application/octet-stream" id="island-NAME">`, which no browser runs or loads. Its first
line is `{"about": {...}, "columns": [{"name", "dtype", "length"}, ...]}`, the rest base64 of the gzipped bytes of the
columns, one after the other, little-endian. Numbers lie in planes: the first bytes of all of them, then the second
bytes, ..., because bytes of the same weight resemble each other (Parquet's BYTE_STREAM_SPLIT). Of texts (dtype `utf8`)
the uint32 lengths in bytes come first, in planes too, then the bytes of all.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

Column = np.ndarray | Sequence[str]

_DTYPES = ('uint8', 'uint16', 'uint32')


def island(name: str, columns: Mapping[str, Column], about: Mapping[str, Any] | None = None) -> Markup:
    """The element that holds the columns: arrays [N] of unsigned numbers, or texts; `about` is any JSON.

    Raises:
      ValueError: a column is of another dtype than uint8, uint16 and uint32.
    """
    packed = [_packed(key, column) for key, column in columns.items()]
    head = json.dumps({'about': about or {}, 'columns': [described for described, _ in packed]})
    data = base64.b64encode(gzip.compress(b''.join(data for _, data in packed), 9, mtime=0)).decode()
    # Neither base64 nor JSON without '<' can end the element that it stands in.
    inert = head.replace('<', '\\u003c')
    return Markup(f'<script type="application/octet-stream" id="island-{name}">{inert}\n{data}</script>')


def _packed(name: str, column: Column) -> tuple[dict[str, Any], bytes]:
    described = {'name': name, 'dtype': 'utf8', 'length': len(column)}
    if isinstance(column, np.ndarray):
        if column.dtype.name not in _DTYPES:
            raise ValueError(f'column {name}: {column.dtype}, which is none of {", ".join(_DTYPES)}')
        return described | {'dtype': column.dtype.name}, _planes(column)
    # A file may hold half a surrogate pair, which has no UTF-8.
    texts = [text.encode('utf-8', 'replace') for text in column]
    return described, _planes(np.array([len(text) for text in texts], np.uint32)) + b''.join(texts)


def _planes(values: np.ndarray) -> bytes:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder('<'))
    return little.view(np.uint8).reshape(-1, values.dtype.itemsize).T.tobytes()
