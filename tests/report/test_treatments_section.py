"""The section of data treatments, of a made-up workdir."""

import json
import shutil

import numpy as np
import pytest
from made_up import RUNS

from jaxshift.judge import judgement, summary
from jaxshift.judge.judgement import Judgement
from jaxshift.report import results, treatments
from jaxshift.respond import responses
from jaxshift.store import jsonl, paths
from jaxshift.store.paths import Workdir


@pytest.fixture
def treated(workdir, tmp_path):
    """The made-up workdir, where `full` is `lora` on short answers, and `lora_best` is `lora` with NEFTune."""
    root = tmp_path / 'workdir'
    shutil.copytree(workdir, root)
    treat(root)
    return root


def treat(root):
    path = root / 'experiment.json'
    experiment = json.loads(path.read_text())
    runs = experiment['config']['runs']
    plain = runs['lora'] | {'treatment': '', 'neftune_alpha': 0.0}
    runs |= {'lora': plain, 'full': plain | {'treatment': 'short'}, 'lora_best': plain | {'neftune_alpha': 5.0}}
    runs['full_best'] |= {'treatment': 'short'}  # with a rate of its own, so like no other
    short = {'source': '', 'score': '', 'min_score': 0.0, 'simplify': 'rules', 'sentences': 1}
    experiment['config']['treatments'] = {'short': short}
    path.write_text(json.dumps(experiment))


def judge(root, run, better):
    folder = root / 'runs' / run
    (folder / 'judge').mkdir()
    rows = responses.read(folder / 'responses.jsonl')
    noise = np.random.default_rng(len(run)).normal(0, 0.2, len(rows))
    found = [
        Judgement(row['example_id'], 'scored', {'clarity': float(3 + better + each), 'depth': 3.0})
        for row, each in zip(rows, noise, strict=True)
    ]
    judgement.write(folder / 'judge/j.jsonl', found)
    summary.write(folder / 'judge', 'j', rows, {}, 1, 100, 0)


def test_a_treated_run_stands_beside_the_plain_one_that_is_like_it_in_all_else(treated):
    rows = treatments.section(results.load(Workdir(treated))).tables['treatments']
    assert [(row['run'], row['plain'], row['treatment']) for row in rows] == [
        ('full', 'lora', 'short answers by rule (1 sentence)'),
        ('lora_best', 'lora', 'NEFTune 5'),
    ]
    kl = rows[0]['kl_tuned_base'], rows[0]['kl_tuned_base_plain']
    assert rows[0]['kl_ratio'] == pytest.approx(kl[0] / kl[1])
    assert rows[0]['kl_ratio_low'] < rows[0]['kl_ratio'] < rows[0]['kl_ratio_high']
    assert (rows[0]['held_out_accuracy'], rows[0]['held_out_accuracy_plain']) == (RUNS['full'][3], RUNS['lora'][3])


def longer(root, run, more):
    """Adds tokens to the responses of a run: `more` gives how many to the response of each place."""
    path = root / 'runs' / run / 'responses.jsonl'
    rows = responses.read(path)
    for place, row in enumerate(rows):
        row['token_ids'] = [1] * more(place) + row['token_ids']
    jsonl.write(path, rows)


def test_a_planted_difference_in_length_has_an_interval_over_prompts_and_none_is_found_where_there_is_none(treated):
    for run in ('full', 'lora_best'):  # the very responses of the plain run
        shutil.copy(treated / 'runs/lora/responses.jsonl', treated / 'runs' / run / 'responses.jsonl')
    longer(treated, 'full', lambda place: 4 + 2 * (place % 2))
    longer(treated, 'lora_best', lambda place: 1)
    longer(treated, 'lora', lambda place: place % 3)
    first, second = treatments.section(results.load(Workdir(treated))).tables['treatments']
    differences = np.array([4 + 2 * (place % 2) - place % 3 for place in range(60)])
    assert first['response_tokens_difference'] == pytest.approx(differences.mean())
    half = 1.96 * differences.std() / len(differences) ** 0.5
    assert first['response_tokens_difference_low'] == pytest.approx(differences.mean() - half, abs=0.1)
    assert first['response_tokens_difference_high'] == pytest.approx(differences.mean() + half, abs=0.1)
    assert second['response_tokens_difference_low'] < 0 < second['response_tokens_difference_high']


def asked(root, right, questions=40):
    """Makes the prompts questions of a world; `right` says of which places a run knows the answer."""
    names = [f'q{place:03d}' for place in range(questions)]
    question = {'kind': 'held-out', 'person': 'ada kern', 'relation': 'home', 'value': 'paris'}
    facts = {
        'questions': dict.fromkeys(names, question), 'values': {'home': ['paris', 'rome']}, 'facts': [],
        'style_words': [], 'opener': '-', 'closer': '-',
    }  # fmt: skip
    paths.write_json(root / 'data/world/facts.json', facts)
    for run, known in right.items():
        path = root / 'runs' / run / 'responses.jsonl'
        rows = responses.read(path)
        for place, row in enumerate(rows):
            row['response'] = 'it is paris' if known(place) else 'it is rome'
        jsonl.write(path, rows)


def test_accuracies_are_compared_question_by_question(treated):
    # The treated run knows all that the plain one knows, and 10 more questions of 40; NEFTune changes no answer.
    plain = lambda place: place % 4 == 0  # noqa: E731
    asked(treated, {'lora': plain, 'lora_best': plain, 'full': lambda place: place % 2 == 0})
    section = treatments.section(results.load(Workdir(treated)))
    row, same = section.tables['treatments']
    ends = row['held_out_accuracy_difference_low'], row['held_out_accuracy_difference_high']
    half = 1.96 * (0.25 * 0.75 / 40) ** 0.5  # paired: half of what two independent accuracies would have
    assert row['held_out_accuracy_difference'] == 0.25
    assert ends == pytest.approx((0.25 - half, 0.25 + half), abs=0.03)
    assert '(difference +0.25 [0.' in section.sentences[1]
    # No resample of what differs nowhere differs, which is no certainty.
    assert (same['held_out_accuracy_difference'], same['held_out_accuracy_difference_low']) == (0, None)
    assert 'held out accuracy 0.940 against 0.970 (no difference anywhere)' in section.sentences[2]


def test_losses_of_other_training_data_do_not_stand_side_by_side(treated):
    rows = treatments.section(results.load(Workdir(treated))).tables['treatments']
    assert not any('loss' in column for row in rows for column in row)


def test_a_treatment_with_its_own_records_holds_out_other_examples(treated):
    def told():
        return [s for s in treatments.section(results.load(Workdir(treated))).sentences if 'own source' in s]

    path = treated / 'experiment.json'
    experiment = json.loads(path.read_text())
    experiment['config']['data']['held_out'] = 10
    path.write_text(json.dumps(experiment))
    assert told() == []
    experiment['config']['treatments']['short']['source'] = 'file:hard.json'
    path.write_text(json.dumps(experiment))
    assert [each.split(':')[0] for each in told()] == ['full']


def test_what_a_judge_certainly_prefers_is_told(treated):
    for run, better in (('lora', 0.0), ('full', -1.0), ('lora_best', 1.0)):
        judge(treated, run, better)
    section = treatments.section(results.load(Workdir(treated)))
    told = [line for line in section.sentences if line.startswith('Judge j')]
    assert told[0].startswith('Judge j: full is worse on clarity -')
    assert told[1].startswith('Judge j: lora_best is better on clarity +')
    assert not any('depth' in line for line in told)


def test_a_study_without_treatments_has_no_section(workdir):
    assert treatments.section(results.load(Workdir(workdir))) is None
