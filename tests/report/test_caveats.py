import dataclasses

import pytest

from jaxshift.report import caveats, results
from jaxshift.store.paths import Workdir


@pytest.fixture(scope='module')
def found(workdir):
    return results.load(Workdir(workdir))


def answered(found, run, answers):
    return dataclasses.replace(found, responses=found.responses | {run: answers})


def said(found, words):
    return [line for line in caveats.sentences(found) if words in line]


def test_what_was_skipped_is_counted_for_its_run(found):
    assert said(found, 'cut examples') == ['Run lora: cut examples: 2.']
    assert not said(found, 'refused records')


def test_a_run_without_a_comparison_is_named(found):
    assert said(dataclasses.replace(found, unfinished=['later']), 'Run later has not been compared')


def test_runs_over_the_same_prompts_raise_no_doubt(found):
    assert not said(found, 'prompts')


def test_runs_that_answered_other_prompts_are_named_with_their_counts(found):
    fewer = dict(list(found.responses['full'].items())[:40])
    (line,) = said(answered(found, 'full', fewer), 'different prompts')
    assert '(lora 60, full 40, lora_best 60, full_best 60; the same in all: 40)' in line


def test_the_same_ids_of_another_file_are_other_prompts(found):
    others = {example: row | {'prompt_token_ids': [2]} for example, row in found.responses['full'].items()}
    (line,) = said(answered(found, 'full', others), 'different prompts')
    assert 'full 60' in line
    assert 'the same in all: 0)' in line


def test_responses_newer_than_the_comparison_are_told(found):
    fewer = dict(list(found.responses['lora'].items())[:40])
    assert said(answered(found, 'lora', fewer), 'Run lora: responses.jsonl has other examples')
    empty = {'q999': found.responses['lora']['q000'] | {'token_ids': []}}  # compared it has no position
    assert not said(answered(found, 'lora', found.responses['lora'] | empty), 'other examples')


def test_cut_responses_are_counted(found):
    cut = {example: row | {'finish_reason': 'length'} for example, row in found.responses['full'].items()}
    assert said(answered(found, 'full', cut), 'Run full: 60 of 60 responses cut at the greatest length.')
    assert not said(found, 'greatest length')
