"""Weights say how often records are taken; subsets are nested; ids stay unique."""

import json
from collections import Counter

import pytest

from jaxshift.data import mixture
from jaxshift.errors import InputError


@pytest.fixture
def source(tmp_path):
    def write(name, count):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([{'question': f'{name} {index}', 'answer': 'a'} for index in range(count)]))
        return f'file:{path}'

    return write


def asked(found):
    return [example.messages[0].content for example in found.examples]


@pytest.mark.parametrize(('weight', 'counts'), [(1, {1: 10}), (2, {2: 10}), (0.3, {1: 3}), (2.5, {2: 5, 3: 5})])
def test_a_weight_is_how_many_times_the_records_are_taken(source, weight, counts):
    first, second = source('a.json', 10), source('b.json', 4)
    found = mixture.read({first: weight, second: 1})
    times = Counter(text for text in asked(found) if text.startswith('a'))
    assert Counter(times.values()) == counts
    assert sum(text.startswith('b') for text in asked(found)) == 4
    assert len({example.id for example in found.examples}) == len(found.examples)
    assert found.sources[first]['examples'] == sum(times.values())
    assert found.sources[second] == {
        'format': 'question_answer', 'weight': 1, 'records': 4, 'refused': 0, 'examples': 4, 'unread': '',
    }  # fmt: skip


def test_a_weight_that_takes_nothing_is_refused(source):
    first, second = source('a.json', 10), source('b.json', 4)
    with pytest.raises(InputError, match=r'a\.json: its weight 0\.01 takes none of 10 records; raise it'):
        mixture.read({first: 0.01, second: 1})


def test_keys_that_no_format_has_are_told(tmp_path):
    path = tmp_path / 'dolly.json'
    records = [{'instruction': 'a', 'context': 'b', 'response': 'c', 'category': 'd'}]
    path.write_text(json.dumps(records))
    (figures,) = mixture.read({f'file:{path}': 1}, columns=('output=response',)).sources.values()
    assert figures['unread'] == 'context, category'


def test_one_folder_that_is_written_in_two_ways_is_one_source(source, tmp_path):
    path = source('a.json', 2).removeprefix('file:')
    with pytest.raises(InputError, match=r'is in 2 sources of data.mixture'):
        mixture.read({f'file:{path}': 1, f'file:{tmp_path}/./a.json': 1})


def test_what_a_fraction_takes_is_drawn_by_the_seed_and_grows_with_the_weight(source):
    first = source('a.json', 100)
    draws = [set(asked(mixture.read({first: weight}, seed=seed))) for weight, seed in ((0.2, 0), (0.5, 0), (0.2, 1))]
    assert draws[0] < draws[1]
    assert draws[0] != draws[2]
    assert draws[0] == set(asked(mixture.read({first: 0.2})))


def test_subsets_of_1k_10k_and_52k_are_nested(source):
    everything = source('a.json', 52_002)
    whole = mixture.read({everything: 1})
    sizes = (1_000, 10_000, 52_000)
    small, middle, large = (mixture.read({everything: 1}, subset=size, seed=3).examples for size in sizes)
    ids = [{example.id for example in examples} for examples in (small, middle, large)]
    assert tuple(map(len, ids)) == sizes
    assert ids[0] < ids[1] < ids[2] < {example.id for example in whole.examples}
    assert [int(example.id) for example in small] == sorted(int(example.id) for example in small)
    assert ids[0] != {example.id for example in mixture.read({everything: 1}, subset=1_000, seed=4).examples}
    # drawn from everywhere, not from the beginning: the mean of 1,000 indices is within 5 standard errors
    assert abs(sum(map(int, ids[0])) / 1_000 - 26_000) < 5 * 52_002 / 12**0.5 / 1_000**0.5


def test_a_subset_is_counted_by_source_and_cannot_be_larger_than_all(source):
    first, second = source('a.json', 30), source('b.json', 10)
    found = mixture.read({first: 1, second: 2}, subset=20)
    assert sum(figures['examples'] for figures in found.sources.values()) == len(found.examples) == 20
    with pytest.raises(InputError, match='config.data.subset is 51; there are 50 usable records'):
        mixture.read({first: 1, second: 2}, subset=51)


def test_ids_begin_with_what_tells_the_files_apart(source):
    alone = source('x/a.json', 1)
    assert [example.id for example in mixture.read({alone: 1}).examples] == ['0']
    two = {alone: 1, source('y/a.json', 1): 2}
    assert [example.id for example in mixture.read(two).examples] == ['x/a.json:0', 'y/a.json:0', 'y/a.json:0#2']
    three = {alone: 1, source('b.json', 1): 1}
    assert [example.id for example in mixture.read(three).examples] == ['a.json:0', 'b.json:0']


def test_a_file_in_two_sources_is_refused(source, tmp_path):
    first = source('a.json', 1)
    with pytest.raises(InputError, match=r'a\.json is in 2 sources of data.mixture; name it once, with a weight'):
        mixture.read({first: 1, f'file:{tmp_path}': 1})


def test_limit_is_of_each_source(source):
    found = mixture.read({source('a.json', 9): 1, source('b.json', 9): 1}, limit=2)
    assert asked(found) == ['a.json 0', 'a.json 1', 'b.json 0', 'b.json 1']
