"""Comparisons in both orders: only what both say counts."""

import itertools

import pytest

from jaxshift.errors import InputError
from jaxshift.judge import asking, pairs
from jaxshift.judge.cache import Reply
from jaxshift.judge.pairs import Pair

ROW = {'example_id': 'q', 'prompt': 'Q', 'response': 'ours'}
OTHER = {'example_id': 'q', 'prompt': 'Q', 'response': 'theirs'}


def judge(prefers):
    """One whose verdict is `prefers(first, second)` of the texts in the order that it sees them."""

    def ask(messages):
        user = messages[1]['content']
        texts = [user.split(f'BEGIN RESPONSE {letter}\n')[1].splitlines()[0] for letter in 'AB']
        return Reply(f'{{"winner": "{prefers(*texts)}", "reason": "{texts[0]}"}}')

    return ask


@pytest.mark.parametrize(
    ('prefers', 'result'),
    [
        (lambda first, second: 'A' if first == 'ours' else 'B', 'win'),
        (lambda first, second: 'A' if first == 'theirs' else 'B', 'loss'),
        (lambda first, second: 'C', 'tie'),
        (lambda first, second: 'A', 'inconsistent'),
        (lambda first, second: 'B', 'inconsistent'),
        (lambda first, second: 'A' if first == 'ours' else 'C', 'inconsistent'),
        (lambda first, second: 'A' if first == 'ours' else 'D', 'unjudged'),
    ],
)
def test_a_judge_who_follows_the_order_says_nothing(prefers, result):
    found = asking.compare(judge(prefers), ROW, OTHER, 'base')
    assert pairs.result(found) == result
    assert found.example_id == 'q'
    assert found.other == 'base'


def test_what_the_judge_said_is_kept_in_both_orders():
    found = asking.compare(judge(lambda first, second: 'A'), ROW, OTHER, 'base')
    assert found.verdicts == ('run', 'other')
    assert found.reasons == ('ours', 'theirs')
    assert [len(raw) for raw in found.raw] == [1, 1]


def test_counts_add_up_and_agree_with_a_table_of_all_verdicts():
    verdicts = list(itertools.product(('run', 'other', 'neither', None), repeat=2))
    found = [Pair(str(i), 'base', each, ('scored', 'scored')) for i, each in enumerate(verdicts)]
    assert pairs.counts(found) == {'win': 1, 'loss': 1, 'tie': 1, 'inconsistent': 6, 'unjudged': 7}
    assert pairs.counts([]) == dict.fromkeys(pairs.RESULTS, 0)


def test_pairs_come_back_from_their_file(tmp_path):
    found = [
        asking.compare(judge(lambda first, second: 'A'), ROW, OTHER, 'base'),
        Pair('r', 'full', (None, 'run'), ('failed', 'repaired'), ('', 'why\u2028'), ((), ('a', 'b'))),
    ]
    pairs.write(tmp_path / 'p.jsonl', found)
    assert pairs.read(tmp_path / 'p.jsonl') == found


@pytest.mark.parametrize('line', ['{}', '{"verdicts": 1, "outcomes": [], "reasons": [], "raw": []}'])
def test_a_line_that_is_no_pair_is_named(tmp_path, line):
    (tmp_path / 'p.jsonl').write_text(line)
    with pytest.raises(InputError, match=r'p\.jsonl:1: not a pair of verdicts'):
        pairs.read(tmp_path / 'p.jsonl')
