"""Bars, tables and lines, on a terminal and elsewhere."""

import io
import re
import sys

import pytest

from jaxshift import lines, terminal

ROWS = [('run', 'mean KL', 'shifted'), ('lora', '0.0566', '2.6 %'), ('全', '0.434', '7.4 %')]


class Screen(io.StringIO):
    encoding = 'utf-8'

    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    """A terminal of so many columns."""

    def make(columns: int, kind: str = 'xterm-256color') -> Screen:
        monkeypatch.setenv('TERM', kind)
        monkeypatch.setenv('COLUMNS', str(columns))
        monkeypatch.setattr(sys, 'stdout', Screen())
        terminal._console.cache_clear()
        return sys.stdout

    yield make
    terminal._console.cache_clear()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed."""
    seconds = [0.0]
    monkeypatch.setattr(terminal.time, 'monotonic', lambda: seconds[0])
    return seconds


def test_what_strangers_write_commands_no_terminal(capsys):
    terminal.say('refused \x1b[2J\x9b31m\x07\r\u202e\ud800 名:\n\twhy')
    assert capsys.readouterr().out == 'refused \\x1b[2J\\x9b31m\\x07\\r\\u202e\\ud800 名:\n\twhy\n'


def test_a_table_is_plain_lines_where_there_is_no_terminal(capsys):
    terminal.table(ROWS)
    assert capsys.readouterr().out.splitlines() == [
        'run   mean KL  shifted',
        'lora  0.0566   2.6 %',
        '全    0.434    7.4 %',
    ]


def test_a_table_on_a_terminal_has_the_same_lines_below_a_heading_in_bold(screen):
    out = screen(80)
    terminal.table(ROWS)
    head, *rest = out.getvalue().splitlines()
    assert head == '\x1b[1mrun   mean KL  shifted\x1b[0m'
    assert rest == ['lora  0.0566   2.6 %', '全    0.434    7.4 %']


def test_a_table_that_is_wider_than_the_terminal_is_a_list(screen):
    out = screen(20)
    terminal.table(ROWS)
    assert out.getvalue().splitlines() == [
        'lora: mean KL',
        '  0.0566, shifted',
        '  2.6 %',
        '全: mean KL 0.434,',
        '  shifted 7.4 %',
    ]


def test_a_terminal_that_can_only_print_gets_lines(screen):
    out = screen(80, 'dumb')
    terminal.table(ROWS)
    with terminal.Bar('train') as bar:
        bar(2, 2, 'loss 1')
    assert out.getvalue().splitlines()[0] == 'run   mean KL  shifted'
    assert out.getvalue().splitlines()[-1] == 'train: 2/2 loss 1'
    assert '\x1b' not in out.getvalue()


def test_a_bar_within_a_bar_stands_below_it_and_a_brief_one_leaves_nothing(screen):
    out = screen(80)
    with terminal.Bar('outer [red]') as outer:
        outer(1, 4)
        with terminal.Bar('inner', brief=True) as inner:
            for done in (1, 2):
                inner(done, 2)
            terminal.say('a line')
        outer(4, 4)
    left = re.sub(r'\x1b\[[0-9;?]*[a-zA-Z]', '', out.getvalue().rpartition('\x1b[2K')[2])
    assert left.startswith('outer [red] ')  # text, no markup
    assert '4/4' in left
    assert 'inner' in out.getvalue()
    assert 'inner' not in left
    assert 'a line' in out.getvalue()


def test_plain_lines_come_at_the_end_or_after_ten_seconds(capsys, clock):
    with terminal.Bar('long') as bar:
        for done, seconds in ((1, 3), (2, 9), (3, 11), (4, 12), (5, 13)):
            clock[0] = seconds
            bar(done, 5, 'loss 1')
    assert capsys.readouterr().out == 'long: 3/5 loss 1\nlong: 5/5 loss 1\n'


def test_brief_work_says_nothing_unless_it_was_long(capsys, clock):
    with terminal.Bar('load', brief=True) as bar:
        assert list(bar.over('abc')) == ['a', 'b', 'c']
    assert capsys.readouterr().out == ''
    with terminal.Bar('load', brief=True) as bar:
        clock[0] += 11
        bar(1, 2)
        bar(2, 2)
    assert capsys.readouterr().out == 'load: 1/2\nload: 2/2\n'


def test_names_that_leave_no_room_stand_above_what_they_mean():
    assert list(lines.described([('a_long_name', 'some words')], 80)) == ['  a_long_name  some words']
    assert list(lines.described([('a_long_name', 'some words')], 30)) == ['  a_long_name', '      some words']
