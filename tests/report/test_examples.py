import dataclasses

import pytest
from made_up import PIECES

from jaxshift.report import results
from jaxshift.report.examples import examples
from jaxshift.store.paths import Workdir


@pytest.fixture(scope='module')
def found(workdir):
    return results.load(Workdir(workdir))


def test_tokens_carry_their_class(found):
    first = examples(found, PIECES)[0]
    rows = [row for row in found.tokens['full'].to_pylist() if row['example_id'] == first['id']]
    assert first['id'] == 'q000'
    assert len(rows) == len(first['runs']['full'])
    for row, span in zip(rows, first['runs']['full'], strict=True):
        assert span['shift_class'] == row['shift_class']
        assert f'base rank {row["base_rank"]},' in span['title']
        assert span['text'].replace('⏎', '') == PIECES[row['token_id']]


def test_a_prompt_that_differs_between_runs_is_no_example(found):
    """Another file of prompts may use the same ids."""
    other = found.responses['full'] | {'q001': found.responses['full']['q001'] | {'prompt_token_ids': [2]}}
    changed = dataclasses.replace(found, responses=found.responses | {'full': other})
    assert [example['id'] for example in examples(found, PIECES)] == ['q000', 'q001', 'q002']
    assert [example['id'] for example in examples(changed, PIECES)] == ['q000', 'q002', 'q003']


def test_blanks_come_back_where_tokens_have_none(found):
    words = [piece.strip() or 'x' for piece in PIECES]
    assert {span['gap'] for span in examples(found, words)[0]['runs']['lora']} == {' '}
    assert {span['gap'] for span in examples(found, PIECES)[0]['runs']['lora']} == {''}
