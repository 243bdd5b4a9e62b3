import re

import numpy as np
import pytest
from unpacked import unpacked

from jaxshift.report.islands import island

HOSTILE = ['</script><script>alert(1)</script>', '<!--<script>', ' ', '\x1b]0;title\x07', '中文', '', '\u202eevil', '$']


def test_what_is_packed_comes_back():
    columns = {
        'small': np.array([0, 1, 255], np.uint8),
        'middle': np.array([0, 256, 65535, 77], np.uint16),
        'large': np.array([2**32 - 1, 1 << 16], np.uint32),
        'texts': HOSTILE,
        'none': np.zeros(0, np.uint32),
        'no_texts': [],
    }
    about, found = unpacked(island('all', columns, {'k': 1}), 'all')
    assert about == {'k': 1}
    assert found == {name: list(column) for name, column in columns.items()}


def test_nothing_inside_an_island_can_end_it():
    html = str(island('texts', {text: [text] for text in HOSTILE}, {text: text for text in HOSTILE}))
    inside = re.fullmatch(r'<script [^<>]*>([^<]*)</script>', html)
    assert inside
    about, found = unpacked(html, 'texts')
    assert about == {text: text for text in HOSTILE}
    assert found == {text: [text] for text in HOSTILE}


def test_half_a_surrogate_pair_is_no_reason_to_fail():
    assert unpacked(island('texts', {'texts': ['a\ud83d']}), 'texts')[1] == {'texts': ['a?']}


def test_the_same_columns_make_the_same_bytes():
    columns = {'texts': HOSTILE, 'numbers': np.arange(100, dtype=np.uint16)}
    assert island('same', columns) == island('same', columns)


def test_signed_numbers_and_fractions_are_refused():
    with pytest.raises(ValueError, match='column kl: float32'):
        island('wrong', {'kl': np.zeros(3, np.float32)})
