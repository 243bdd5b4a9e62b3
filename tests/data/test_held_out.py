"""Held-out examples: the same for every run and subset, and never trained on."""

import json

import pytest

from jaxshift.data import dataset, held_out, mixture, template
from jaxshift.errors import InputError


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps([{'question': f'q{i}', 'answer': 'a'} for i in range(1000)]))
    return {f'file:{path}': 1}


def asked(examples):
    return [int(example.messages[0].content[1:]) for example in examples]


def test_every_example_is_trained_on_or_held_out_in_order(source):
    found = mixture.read(source, held_out=100)
    assert len(found.held_out) == 100
    trained, apart = asked(found.examples), asked(found.held_out)
    assert sorted(trained + apart) == list(range(1000))
    assert trained == sorted(trained)
    assert apart == sorted(apart)
    assert abs(sum(apart) / 100 - 500) < 100  # drawn from everywhere


def test_subsets_are_nested_beside_the_same_held_out_examples(source):
    parts = [mixture.read(source, subset=size, seed=3, held_out=100) for size in (50, 400, 900)]
    small, large, all_ = (set(asked(part.examples)) for part in parts)
    assert (len(small), len(large), len(all_)) == (50, 400, 900)
    assert small < large < all_
    apart = {tuple(asked(part.held_out)) for part in parts} | {
        tuple(asked(mixture.read(source, seed=4, held_out=100).held_out))
    }
    assert len(apart) == 1
    assert all_.isdisjoint(*apart)


def test_more_held_out_takes_none_back(source):
    few, many = (set(asked(mixture.read(source, held_out=count).held_out)) for count in (40, 100))
    assert few < many


def test_nothing_held_out_leaves_all(source):
    found = mixture.read(source)
    assert asked(found.examples) == list(range(1000))
    assert found.held_out == []


@pytest.mark.parametrize('count', [1000, 1001])
def test_some_example_must_be_left(source, count):
    with pytest.raises(InputError, match=f'config.data.held_out is {count} of 1000 examples; none is left'):
        mixture.read(source, held_out=count)


def test_the_pieces_of_a_text_that_is_held_out_stay_together(tokenizer, tmp_path):
    texts = [{'text': 'the capital of France is Paris ' * (5 * i + 1)} for i in range(12)]
    path = tmp_path / 'texts.jsonl'
    path.write_text('\n'.join(map(json.dumps, texts)))
    found = mixture.read({f'file:{path}': 1}, held_out=4)
    chosen = template.choose(tokenizer, 'paper')
    made = dataset.build(tmp_path / 'rows', found.examples, chosen, 32, held_out=found.held_out)
    trained, apart = held_out.split(made)
    assert len(trained) + len(apart) == len(made) > 12
    texts_of = [{part[i].example_id.split('/')[0] for i in range(len(part))} for part in (trained, apart)]
    assert texts_of == [{example.id for example in part} for part in (found.examples, found.held_out)]
    assert [len(apart[i].tokens) for i in range(len(apart))] == apart.lengths.tolist()
