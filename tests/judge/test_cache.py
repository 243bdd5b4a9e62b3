"""The file of replies that were paid for."""

from jaxshift.judge import cache
from jaxshift.judge.cache import Cache, Reply


def test_every_reply_is_on_disk_before_the_next_call(tmp_path):
    path = tmp_path / 'judge/cache.jsonl'
    with Cache(path) as replies:
        for number in range(3):
            replies.add(f'key {number}', 'm', Reply(f'text {number}\u2028', number == 1), {}, 0.5)
            with Cache(tmp_path / 'copy') as other:
                assert other.calls == 0
            (tmp_path / 'copy').write_bytes(path.read_bytes())  # as a kill would leave it
            with Cache(tmp_path / 'copy') as killed:
                assert killed.get(f'key {number}') == (f'text {number}\u2028', number == 1)
                assert (killed.calls, killed.cost) == (number + 1, 0.5 * (number + 1))
            (tmp_path / 'copy').unlink()


def test_a_line_cut_off_by_a_kill_is_no_reply_and_spoils_none_that_follow(tmp_path):
    path = tmp_path / 'cache.jsonl'
    with Cache(path) as replies:
        replies.add('a', 'm', Reply('first'), {}, 1.0)
        replies.add('b', 'm', Reply('second'), {}, 1.0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with Cache(path) as replies:
        assert replies.get('a') == Reply('first')
        assert replies.get('b') is None
        replies.add('b', 'm', Reply('second'), {}, 1.0)
    assert path.read_bytes() == whole


def test_a_call_without_a_reply_is_counted_and_asked_again(tmp_path):
    with Cache(tmp_path / 'c') as replies:
        replies.add('a', 'm', None, {}, 2.0)
    with Cache(tmp_path / 'c') as replies:
        assert replies.get('a') is None
        assert (replies.calls, replies.cost) == (1, 2.0)


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
