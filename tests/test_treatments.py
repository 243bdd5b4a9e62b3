"""Treatments of the data: what runs that name one are trained on, and that all others notice nothing."""

import dataclasses
import json

import pytest

from jaxshift import config, depends, stages, treatments, tuning
from jaxshift.config import Base, Data, Experiment, Run, Treatment
from jaxshift.data import simplify
from jaxshift.devices.process import StopSignal
from jaxshift.errors import InputError
from jaxshift.store import jsonl
from jaxshift.store.paths import Workdir
from jaxshift.study import Study

LONG = 'However, the capital of France is Paris. Paris is Paris. I hope this helps!'
RECORDS = [{'instruction': f'the capital {n}', 'output': LONG, 'quality': n % 5, 'id': f'r{n}'} for n in range(40)]


@pytest.fixture
def make(saved, tmp_path):
    """Makes the study of some treatments, each with a run of its name; its lines are in `study.said`."""
    (tmp_path / 'data.json').write_text(json.dumps(RECORDS))

    def make(data=None, **found):
        said = []
        experiment = Experiment(
            base=Base(source=f'dir:{saved[0]}', dtype='float32'),
            data=Data(source=f'file:{tmp_path}/data.json', template='paper', max_length=64, **(data or {})),
            treatments=found,
            runs={'plain': Run(), **{name: Run(treatment=name) for name in found}},
        )
        config.check(experiment)
        study = Study(experiment, Workdir(tmp_path / 'work'), tuple(experiment.runs), StopSignal(), said.append)
        return study, said

    return make


def told(found):
    return {example.id: example.messages[-1].content for example in found.examples}


def test_a_filter_keeps_the_examples_of_its_score_and_leaves_the_data_as_they_are(make):
    study, said = make(good=Treatment(score='column:quality', min_score=3))
    stages.data(study)
    data, _ = tuning.training_data(study, 'good')
    wanted = [record['id'] for record in RECORDS if record['quality'] >= 3]
    assert [data[i].example_id for i in range(len(data))] == wanted
    assert list(told(treatments.instructions(study, 'good'))) == wanted
    assert len(tuning.training_data(study, '')[0]) == len(RECORDS)
    assert 'data good: of 40 examples 24 score below 3 and 0 have no score; they are left out' in said


def test_held_out_examples_are_the_same_and_untreated_and_the_subset_is_of_what_is_kept(make):
    study, _ = make(
        data={'held_out': 10, 'subset': 8},
        good=Treatment(score='column:quality', min_score=3),
        short=Treatment(simplify='rules', sentences=1),
    )
    stages.data(study)
    quality = {record['id']: record['quality'] for record in RECORDS}
    rows = {}
    for treatment in ('', 'good', 'short'):
        kept, apart = tuning.training_data(study, treatment)
        assert len(kept) == 8
        rows[treatment] = [apart[i] for i in range(len(apart))]
        ids = [kept[i].example_id for i in range(len(kept))]
        assert list(told(treatments.instructions(study, treatment))) == ids
        assert treatment != 'good' or min(quality[each] for each in ids) >= 3
    tokens = [[row.tokens.tolist() for row in rows[treatment]] for treatment in rows]
    assert tokens[0] == tokens[1] == tokens[2]


def test_short_answers_are_trained_on_and_told(make):
    study, said = make(short=Treatment(simplify='rules', sentences=1))
    stages.data(study)
    short = simplify.shortened(LONG, 1)
    assert set(told(treatments.instructions(study, 'short')).values()) == {short} == {'The capital of France is Paris.'}
    first, plain = tuning.training_data(study, 'short')[0][0], tuning.training_data(study, '')[0][0]
    text = study.tokenizer.decode(first.tokens[first.trained])
    assert text.split()[:6] == ['The', 'capital', 'of', 'France', 'is', 'Paris'] or '<unk>' in text
    assert len(first.tokens) < len(plain.tokens)
    before, after = (40 * len(text) for text in (LONG, short))
    assert f'data short: 40 answers: 40 shorter; {before} characters before, {after} after' in said


def test_other_data_are_a_treatment_too(make, tmp_path):
    (tmp_path / 'hard.json').write_text(json.dumps([{'question': 'the capital of France', 'answer': 'is Paris'}]))
    study, _ = make(harder=Treatment(source=f'file:{tmp_path}/hard.json'))
    stages.data(study)
    assert told(treatments.instructions(study, 'harder')) == {'0': 'is Paris'}


def test_scores_may_lie_in_a_judges_file(make, tmp_path):
    rows = [{'example_id': r['id'], 'scores': {'depth': 5, 'clarity': r['quality'], 'x': None}} for r in RECORDS[:30]]
    rows += [{'example_id': r['id'], 'score': r['quality']} for r in RECORDS[30:]]
    jsonl.write(tmp_path / 'scores.jsonl', rows)
    study, _ = make(good=Treatment(score=f'file:{tmp_path}/scores.jsonl', min_score=4.5))
    stages.data(study)
    wanted = [r['id'] for r in RECORDS[:30] if (5 + r['quality']) / 2 >= 4.5]
    assert list(told(treatments.instructions(study, 'good'))) == wanted


@pytest.mark.parametrize('value', [None, 'good', True, float('nan')])
def test_a_record_without_a_score_is_named_or_left_out_and_counted(make, tmp_path, value):
    bad = [RECORDS[0] | {'quality': value}, *RECORDS[1:]]
    treatment = Treatment(score='column:quality', min_score=0)
    study, _ = make(good=treatment)
    (tmp_path / 'data.json').write_text(json.dumps(bad))
    with pytest.raises(InputError, match=r"record 0 .*column 'quality' has no score of example r0"):
        stages.data(study)
    study, said = make(data={'on_bad_record': 'skip'}, good=treatment)
    (tmp_path / 'data.json').write_text(json.dumps(bad))
    stages.data(study)
    assert len(told(treatments.instructions(study, 'good'))) == 39
    assert any('0 score below 0 and 1 have no score' in line for line in said)


def test_a_filter_that_leaves_too_few_for_the_subset_is_named(make):
    study, _ = make(data={'subset': 20}, good=Treatment(score='column:quality', min_score=3))
    with pytest.raises(InputError, match='config.treatments.good.min_score is 3, which leaves 16 of 40 examples'):
        stages.data(study)


def test_a_world_without_scores_is_named_with_what_makes_it_again(make):
    study, _ = make(short=Treatment(simplify='rules'))
    asked = dataclasses.replace(study.experiment, treatments={'good': Treatment(score='world:', min_score=1)})
    old = Study(asked, study.workdir, ('plain',), StopSignal(), print)
    with pytest.raises(InputError, match='scores.jsonl: no such file; .* remove .*world.*json to make it again'):
        treatments.scored_by(old, 'good')


def test_a_run_depends_on_its_own_treatment_alone(make):
    before, _ = make(short=Treatment(simplify='rules', sentences=1), good=Treatment(score='column:quality'))
    stages.data(before)
    old = {name: depends.of_training(before, run) for name, run in before.experiment.runs.items()}
    after, said = make(short=Treatment(simplify='rules', sentences=2), good=Treatment(score='column:quality'))
    stages.data(after)
    assert said.count('data: done before') == said.count('data good: done before') == 1
    new = {name: depends.of_training(after, run) for name, run in after.experiment.runs.items()}
    assert {name for name in old if old[name] != new[name]} == {'short'}
    assert old['plain']['run'] == old['good']['run']


def test_data_that_a_run_was_begun_on_are_kept_and_those_of_another_treatment_made_again(make):
    study, _ = make(short=Treatment(simplify='rules', sentences=1), good=Treatment(score='column:quality'))
    stages.data(study)
    (study.workdir.run('good') / 'checkpoints/5').mkdir(parents=True)
    other, _ = make(short=Treatment(simplify='rules'), good=Treatment(score='column:quality'))
    stages.data(other)
    other, _ = make(short=Treatment(simplify='rules'), good=Treatment(score='column:quality', min_score=2))
    with pytest.raises(InputError, match='data good was made with another treatment.min_score'):
        stages.data(other)


def test_what_was_never_made_is_asked_for(make):
    study, _ = make(short=Treatment(simplify='rules'))
    with pytest.raises(InputError, match='treated.jsonl: no such file; .* run --mode=data first'):
        treatments.instructions(study, 'short')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'treatments': {'x': Treatment()}}, 'config.treatments.x changes nothing; set its source, score or simplify'),
        ({'treatments': {'x': Treatment(score='quality')}}, "config.treatments.x.score is 'quality'; give column:NAME"),
        ({'treatments': {'x': Treatment(min_score=1, simplify='rules')}}, 'min_score is 1, but score is empty'),
        ({'treatments': {'x': Treatment(score='world:')}}, 'config.treatments.x has world:, but config.world is not'),
        (
            {'treatments': {'x': Treatment(simplify='endpoint')}},
            'config.judge.model is empty; config.treatments.x asks',
        ),
        ({'treatments': {'a b': Treatment(simplify='rules')}}, 'config.treatments.a b: it names a folder'),
        ({'treatments': {'x': Treatment(simplify='magic')}}, "simplify is 'magic'; it can be empty, rules, endpoint"),
        ({'runs': {'r': Run(treatment='y')}}, "config.runs.r.treatment is 'y'; it can be empty"),
    ],
)
def test_treatments_that_mean_nothing_are_refused(changes, message):
    sound = Experiment(base=Base(source='dir:x'), data=Data(source='file:y'), runs={'r': Run()})
    with pytest.raises(InputError) as error:
        config.check(dataclasses.replace(sound, **changes))
    assert message in str(error.value)
