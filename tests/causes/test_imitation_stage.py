"""Imitation as the stage asks for it: which responses of the base are held against those of a run."""

import json

import pytest

from jaxshift import depends
from jaxshift.config import Base, Data, Experiment, Prompts, Respond, Run
from jaxshift.devices.process import StopSignal
from jaxshift.explain.imitation import ANALYSIS
from jaxshift.store import jsonl
from jaxshift.store.paths import Workdir
from jaxshift.study import Study


@pytest.fixture
def make(saved, tmp_path):
    """Makes the study of one run, asked for so many tokens, and what it says."""
    records = [{'instruction': 'the capital', 'output': 'Paris is the capital', 'id': 'a'}]
    (tmp_path / 'data.json').write_text(json.dumps(records))

    def make(max_new_tokens):
        said = []
        experiment = Experiment(
            base=Base(source=f'dir:{saved[0]}', dtype='float32'),
            data=Data(source=f'file:{tmp_path}/data.json', template='paper', max_length=64),
            prompts=Prompts(source=f'file:{tmp_path}/data.json'),
            respond=Respond(max_new_tokens=max_new_tokens),
            runs={'run': Run()},
        )
        return Study(experiment, Workdir(tmp_path / 'work'), ('run',), StopSignal(), said.append), said

    return make


def answer(study, name, text):
    path = study.workdir.responses(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(path, [{'example_id': 'a', 'prompt_token_ids': [3], 'token_ids': [8, 7], 'response': text}])
    return [path]


def sources(study):
    study.workdir.causes('run').mkdir(parents=True, exist_ok=True)
    (path, *_) = ANALYSIS.work(study, 'run')
    return json.loads(path.read_text())['sources']


def test_responses_of_the_base_that_were_made_with_other_settings_are_left_out_and_that_is_said(make):
    study, said = make(64)
    answer(study, 'run', 'Paris is')
    study.ledger.do(
        'respond', depends.BASE, depends.of_responses(study, depends.BASE),
        lambda: answer(study, depends.BASE, 'the capital of'), None,
    )  # fmt: skip
    before = ANALYSIS.settings(study, 'run')
    assert sources(study)['base']['words']['mean'] == 3
    study, said = make(128)
    assert ANALYSIS.settings(study, 'run') == before | {'base_responses': ''}
    assert set(sources(study)) == {'data', 'tuned'}
    assert any('without responses of the base: ' in line and 'max_new_tokens' in line for line in said)


def test_responses_of_the_base_from_another_tool_are_taken_and_none_are_missed(make):
    study, said = make(64)
    answer(study, 'run', 'Paris is')
    assert set(sources(study)) == {'data', 'tuned'}
    assert any('no such file' in line for line in said)
    answer(study, depends.BASE, 'the capital of')
    assert set(sources(study)) == {'data', 'tuned', 'base'}
