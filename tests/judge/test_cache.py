"""The file of replies that were paid for."""

import pytest

from jaxshift.errors import InputError
from jaxshift.judge import cache
from jaxshift.judge.cache import Cache, Reply
from jaxshift.store import jsonl


def pay(replies, name, reply):
    """A call that could have cost 2 and cost a half."""
    replies.sent(name, 'm', 2.0)
    replies.replied(name, reply, {}, 0.5 - 2.0)


def test_every_reply_is_on_disk_before_the_next_call(tmp_path):
    path = tmp_path / 'judge/cache.jsonl'
    with Cache(path) as replies:
        for number in range(3):
            pay(replies, f'key {number}', Reply(f'text {number}\u2028', number == 1, number == 2))
            with Cache(tmp_path / 'copy') as other:
                assert other.calls == 0
            (tmp_path / 'copy').write_bytes(path.read_bytes())  # as a kill would leave it
            with Cache(tmp_path / 'copy') as killed:
                assert killed.get(f'key {number}') == (f'text {number}\u2028', number == 1, number == 2)
                assert (killed.calls, killed.cost, killed.unanswered) == (number + 1, 0.5 * (number + 1), 0)
            (tmp_path / 'copy').unlink()


def test_a_line_cut_off_by_a_kill_is_no_reply_and_spoils_none_that_follow(tmp_path):
    path = tmp_path / 'cache.jsonl'
    with Cache(path) as replies:
        pay(replies, 'a', Reply('first'))
        pay(replies, 'b', Reply('second'))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with Cache(path) as replies:
        assert replies.get('a') == Reply('first')
        assert replies.get('b') is None
        assert (replies.calls, replies.cost, replies.unanswered) == (2, 2.5, 1)
        pay(replies, 'b', Reply('second'))
        assert (replies.calls, replies.cost, replies.unanswered) == (3, 3.0, 1)
    lines = whole.splitlines(keepends=True)
    assert path.read_bytes() == b''.join(lines[:-1] + lines[-2:])


def test_opening_writes_nothing(tmp_path):
    path = tmp_path / 'c'
    with Cache(path) as replies:
        pay(replies, 'a', Reply('first'))
    before = path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns
    with Cache(path):
        pass
    assert (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) == before


def test_a_call_without_a_reply_is_counted_and_asked_again(tmp_path):
    with Cache(tmp_path / 'c') as replies:
        replies.sent('a', 'm', 2.0)
    with Cache(tmp_path / 'c') as replies:
        assert replies.get('a') is None
        assert (replies.calls, replies.cost, replies.unanswered) == (1, 2.0, 1)


def test_a_call_that_turned_out_to_be_free_is_not_counted(tmp_path):
    with Cache(tmp_path / 'c') as replies:
        replies.sent('a', 'm', 2.0)
        replies.free('a', 2.0)
    with Cache(tmp_path / 'c') as replies:
        assert (replies.calls, replies.cost, replies.unanswered) == (0, 0.0, 0)


def test_a_line_of_another_program_is_named(tmp_path):
    jsonl.write(tmp_path / 'c', [{'key': 'a', 'calls': 1, 'cost': 0.0}, {'key': 'a', 'reply': None}])
    with pytest.raises(InputError, match="c:2: not a call to a judge .'calls'.; move the file away"):
        Cache(tmp_path / 'c')


def test_the_key_is_of_model_prompt_and_parameters():
    asked = [{'role': 'user', 'content': 'x'}]
    keys = {
        cache.key('m', asked, {'temperature': 0.0, 'max_tokens': 5}),
        cache.key('n', asked, {'temperature': 0.0, 'max_tokens': 5}),
        cache.key('m', [*asked, *asked], {'temperature': 0.0, 'max_tokens': 5}),
        cache.key('m', asked, {'temperature': 0.1, 'max_tokens': 5}),
    }
    assert len(keys) == 4
    assert cache.key('m', asked, {'max_tokens': 5, 'temperature': 0.0}) in keys
