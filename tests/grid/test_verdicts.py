"""A planted effect is found, one that is not there is not, and the contrary is told as such."""

import pytest
from grid_rows import rows

from jaxshift.grid import findings, markdown
from jaxshift.grid.questions import CONTRADICTED, HOLDS, NO_ROOM, UNCLEAR

SHARED = 'same learning rate'


def verdict(made, number, question=None):
    table = [
        row for row in findings.table(made)
        if row['finding'] == number and row['pairing'] == SHARED and question in (None, row['question'])
    ]  # fmt: skip
    (said,) = {row['verdict'] for row in table}
    return said


@pytest.mark.parametrize(('full', 'said'), [(0.4, HOLDS), (0.02, CONTRADICTED)])
def test_full_tuning_that_shifts_more(full, said):
    made = rows({'lora': {'kl_tuned_base': 0.1}, 'full': {'kl_tuned_base': full}}, noise=0.1)
    assert verdict(made, 1, 'mean KL, full over LoRA') == said


def test_where_nothing_differs_one_answer_of_twenty_is_not_unclear():
    said = []
    for seed in range(150):
        made = rows({'lora': {'kl_tuned_base': 0.1}, 'full': {'kl_tuned_base': 0.1}}, noise=0.1, seed=seed)
        said += [row['verdict'] for row in findings.table(made)
                 if row['question'] == 'mean KL, full over LoRA' and row['pairing'] == SHARED]  # fmt: skip
    assert said.count(UNCLEAR) / len(said) == pytest.approx(0.95, abs=0.025)
    assert said.count(HOLDS) / len(said) == pytest.approx(0.025, abs=0.02)


@pytest.mark.parametrize(('full', 'said'), [((1.6, 0.4), HOLDS), ((4.4, 0.2), CONTRADICTED)])
def test_start_over_rest(full, said):
    made = rows({
        'lora': {'sentence_start': 1.1, 'sentence_rest': 0.1},
        'full': {'sentence_start': full[0], 'sentence_rest': full[1]},
    })  # fmt: skip
    assert verdict(made, 2, 'start over rest, LoRA over full') == said


@pytest.mark.parametrize(
    ('gain', 'noise', 'said'), [(0.3, 0.05, CONTRADICTED), (-0.3, 0.05, HOLDS), (0.0, 0.01, HOLDS), (0.0, 0.3, UNCLEAR)]
)
def test_more_data_for_lora(gain, noise, said):
    made = rows({'lora': {'held_out_accuracy': lambda n: 0.6 + gain * (n > 60)}, 'full': {}}, noise)
    assert verdict(made, 4) == said


def test_a_finding_counts_what_its_sizes_say():
    made = rows({'lora': {'early_fall': lambda n: 0.9 if n == 60 else 0.2}, 'full': {}})
    said = [row for row in findings.table(made) if row['pairing'] == SHARED]
    assert findings.verdicts(said)[3] == {SHARED: '1 hold, 0 unclear, 2 contradicted'}


def test_what_was_made_equal_is_not_asked():
    kl = {'lora': 0.1, 'lora_best': 0.3, 'full_best': 0.2, 'full': 0.6}
    made = rows({run: {'kl_tuned_base': value, 'final_loss': 0.5, 'sentence_rest': 0.1} for run, value in kl.items()})
    asked = {(row['finding'], row['pairing']) for row in findings.table(made)}
    assert (2, 'equal mean KL') in asked
    assert (1, SHARED) in asked
    assert (1, 'equal mean KL') not in asked


@pytest.mark.parametrize(('accuracy', 'said'), [(0.99, NO_ROOM), (0.9, HOLDS)])
def test_no_gain_says_nothing_where_there_is_no_room_for_one(accuracy, said):
    made = rows({'lora': {'held_out_accuracy': accuracy}, 'full': {}}, noise=0.001)
    assert verdict(made, 4) == said
    other = rows({'lora': {'held_out_accuracy': accuracy}}, noise=0.001, seed=1)
    made += [row | {'run': 'lora_neftune', 'plain': False} for row in other]
    assert {row['verdict'] for row in findings.table(made) if row['finding'] == 9} == {said}


@pytest.mark.parametrize(('treated', 'said'), [(0.85, HOLDS), (0.99, CONTRADICTED)])
def test_a_treatment_is_held_to_plain_lora_at_its_rate(treated, said):
    made = rows({'lora': {'held_out_accuracy': 0.9}, 'full': {'held_out_accuracy': 0.6}}, noise=0.01)
    other = rows({'lora': {'held_out_accuracy': treated}}, noise=0.01, seed=1)
    made += [row | {'run': 'lora_neftune', 'plain': False} for row in other]
    found = [row for row in findings.table(made) if row['finding'] == 9]
    assert {row['pairing'] for row in found} == {'lora_neftune against lora'}
    assert {row['verdict'] for row in found} == {said}


def test_data_that_were_made_of_others_are_held_to_the_largest_of_these():
    made = rows({'lora': {'held_out_accuracy': lambda size: 0.5 + size / 1200}, 'full': {}}, noise=0.001)
    other = [row for row in rows({'lora': {'held_out_accuracy': 0.85}}, noise=0.001, seed=1) if row['size'] == 60]
    made += [row | {'data': 'filtered', 'treated': 'world'} for row in other]
    (found,) = [row for row in findings.table(made) if row['finding'] == 9]
    assert (found['data'], found['pairing']) == ('world', 'filtered, lora against world, lora')
    assert (found['about'], found['verdict'], round(found['value'], 2)) == ('n = 60', HOLDS, -0.05)


def test_each_size_of_such_data_is_asked_alone_whatever_the_order():
    made = rows({'lora': {'held_out_accuracy': 0.5}}, noise=0.001)
    other = rows({'lora': {'held_out_accuracy': lambda size: {60: 0.9}.get(size, 0.2)}}, noise=0.001, seed=1)
    made += [row | {'data': 'filtered', 'treated': 'world'} for row in other if row['size'] < 480]
    for ordered in (made, made[::-1]):
        found = {row['about']: row['verdict'] for row in findings.table(ordered) if row['finding'] == 9}
        assert found == {'n = 60': CONTRADICTED, 'n = 240': HOLDS}


@pytest.mark.parametrize(('score', 'said'), [(3.0, HOLDS), (3.3, CONTRADICTED)])
def test_where_nobody_knows_what_is_right_a_judge_is_asked(score, said):
    made = rows({'lora': {'score_helpfulness': 3.0}}, noise=0.001)
    made += [row | {'run': 'noisy', 'plain': False} for row in rows({'lora': {'score_helpfulness': score}}, 0.001, 1)]
    found = [row for row in findings.table(made) if row['finding'] == 9]
    assert {(row['question'].partition(',')[0], row['verdict']) for row in found} == {('judged helpfulness', said)}
    known = [row | {'held_out_accuracy': 0.5} for row in made]
    assert all('accuracy' in row['question'] for row in findings.table(known) if row['finding'] == 9)


def test_a_gain_that_is_not_ruled_out_is_unclear():
    made = rows({'lora': {'held_out_accuracy': 0.8}, 'full': {}}, noise=0.1)
    assert verdict(made, 4) == UNCLEAR


def test_one_seed_settles_nothing():
    made = [row for row in rows({'lora': {}, 'full': {'kl_tuned_base': 0.4}}) if row['seed'] == 0]
    assert {row['verdict'] for row in findings.table(made)} == {UNCLEAR}


def test_what_was_not_measured_is_not_answered():
    found = findings.table(rows({'lora': {'kl_tuned_base': 0.1}, 'full': {'kl_tuned_base': 0.4}}))
    assert {row['finding'] for row in found} == {1}


def test_the_file_says_all_of_it():
    made = rows({'lora': {'kl_tuned_base': 0.1}, 'full': {'kl_tuned_base': 0.4}})
    command = "run.py --config=A.py --only='seed3_*' --workdir WS --mode report --config.sweep.chunk 64"
    group = ('world:', 'world')
    text = markdown.text('Worlds', command, {group: made}, {group: findings.table(made)}, ['seed9_n60'])
    assert '    python run.py --config=A.py --config.sweep.chunk 64\n' in text
    assert '| 1 | LoRA shifts the distribution little' in text
    assert 'Cells that are not complete: seed9_n60.' in text
    assert 'Not measured: Whether length brings hallucination' in text
    assert all(len(set(map(len, (line.split('|') for line in block.splitlines())))) == 1
               for block in text.split('\n\n') if block.startswith('|'))  # fmt: skip
