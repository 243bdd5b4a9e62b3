"""What an island holds, read byte by byte."""

import base64
import gzip
import json
import re

SIZES = {'uint8': 1, 'uint16': 2, 'uint32': 4}


def unpacked(html, name):
    """(about, columns) of the island of that name in a page."""
    pattern = rf'<script type="application/octet-stream" id="island-{name}">(.*?)\n(.*?)</script>'
    head, data = re.search(pattern, str(html), re.DOTALL).groups()
    head, rest = json.loads(head), gzip.decompress(base64.b64decode(data, validate=True))
    columns = {}
    for column in head['columns']:
        lengths, rest = numbers(rest, column['length'], SIZES.get(column['dtype'], 4))
        if column['dtype'] == 'utf8':
            texts = []
            for length in lengths:
                texts.append(rest[:length].decode())
                rest = rest[length:]
            lengths = texts
        columns[column['name']] = lengths
    assert not rest
    return head['about'], columns


def numbers(data, count, size):
    """The numbers whose bytes lie `count` apart, and the bytes behind them."""
    values = [sum(data[plane * count + index] << 8 * plane for plane in range(size)) for index in range(count)]
    return values, data[count * size :]
