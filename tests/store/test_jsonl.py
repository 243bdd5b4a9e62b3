import json

import pytest

from jaxshift.errors import InputError
from jaxshift.store import jsonl

ROWS = [{'text': 'line\u2028end\x85\r\n'}, {'text': '漢字 🙂', 'n': [1, 2.5, None]}, {}]


@pytest.fixture
def path(tmp_path):
    """A file of the three rows."""
    jsonl.write(tmp_path / 'deep' / 'rows.jsonl', ROWS)
    return tmp_path / 'deep' / 'rows.jsonl'


def test_what_was_written_comes_back(path):
    assert jsonl.read(path) == ROWS
    assert path.read_text(encoding='utf-8').count('\n') == 3


def test_lines_can_be_added(path):
    with path.open('a', encoding='utf-8') as file:
        file.write(jsonl.line({'n': 4}))
    assert jsonl.read(path) == [*ROWS, {'n': 4}]


def test_no_file_has_no_rows(tmp_path):
    assert jsonl.read(tmp_path / 'nowhere.jsonl') == []


@pytest.mark.parametrize('text', ['', '\n', '\r\n\n'])
def test_an_empty_file_has_no_rows(path, text):
    path.write_text(text)
    assert jsonl.read(path) == []


def test_other_tools_may_end_lines_their_own_way(path):
    path.write_bytes(b'{"n": 1}\r\n{"n": 2}')
    assert jsonl.read(path) == [{'n': 1}, {'n': 2}]


@pytest.mark.parametrize('bad', ['{"n": ', '[1]', '3', 'null', '', '[' * 100_000])
def test_a_line_that_is_no_object_is_named(path, bad):
    path.write_text(f'{{"n": 1}}\n{bad}\n{{"n": 3}}\n')
    jsonl.mend(path)
    with pytest.raises(InputError, match=r'rows.jsonl:2: not a JSON object; correct the line or remove it'):
        jsonl.read(path)


def test_bytes_that_are_no_text_are_named(path):
    path.write_bytes(b'{"n": "\xff"}\n')
    with pytest.raises(InputError, match=r'rows.jsonl:1: '):
        jsonl.read(path)


def test_a_last_line_that_was_cut_off_goes_and_nothing_else_is_touched(path):
    whole = path.read_bytes()
    last = json.dumps({'text': '🙂'}, ensure_ascii=False).encode()
    for cut in range(1, len(last)):  # also amid the bytes of one character
        path.write_bytes(whole + last[:cut])
        with pytest.raises(InputError, match=r'rows.jsonl:4: '):
            jsonl.read(path)
        file = path.stat().st_ino
        jsonl.mend(path)
        assert path.read_bytes() == whole
        assert path.stat().st_ino == file  # not written anew


def test_a_last_line_that_lacks_its_end_alone_is_kept(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    jsonl.mend(path)
    assert path.read_bytes() == whole


def test_a_file_that_is_whole_or_not_there_is_ready_as_it_is(path, tmp_path):
    whole = path.read_bytes()
    jsonl.mend(path)
    assert path.read_bytes() == whole
    jsonl.mend(tmp_path / 'new' / 'rows.jsonl')
    assert jsonl.read(tmp_path / 'new' / 'rows.jsonl') == []


def test_a_number_that_json_does_not_know_is_not_written(path):
    with pytest.raises(ValueError, match='JSON'):
        jsonl.write(path, [{'n': float('nan')}])
    assert jsonl.read(path) == ROWS
