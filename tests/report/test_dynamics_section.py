"""The section of training dynamics, on trajectories with known answers."""

from types import SimpleNamespace

import pytest

from jaxshift.report import dynamics

PROMPTS = ['a', 'b', 'c']


def point(step, loss, kl, accuracy):
    answers = {'held_out_n': 192, 'held_out_accuracy': accuracy, 'new_fact_accuracy': None}
    found = {'step': step, 'loss': loss, 'answers': answers}
    if not step:
        return found
    mean = {'mean': kl, 'interval': None}
    shares = {name: {'mean': 10.0, 'interval': None} for name in ('unshifted', 'marginal', 'shifted')}
    measures = {'positions': 30, 'kl_tuned_base': mean, 'sentence_start': mean, 'sentence_rest': mean, 'shares': shares}
    sums = [8 * kl, 10 * kl, 12 * kl]
    return found | {'all': measures, 'without_end': measures, 'kl_sums': sums, 'positions': [10, 10, 10]}


RUNS = {
    'lora': ('lora', 2e-3, [(0, 3.0, 0, 1.0), (10, 1.0, 0.1, 1.0), (20, 0.5, 0.2, 0.9)]),
    'full': ('full', 2e-3, [(0, 3.0, 0, 1.0), (10, 0.5, 0.4, 0.8), (20, 0.1, 0.8, 0.5)]),
    'full_best': ('full', 3e-4, [(0, 3.0, 0, 1.0), (10, 1.0, 0.1, 1.0), (20, 0.5, 0.2, 0.9)]),
}


def found(runs=RUNS):
    config = {run: {'method': method, 'learning_rate': rate} for run, (method, rate, _) in runs.items()}
    explained = {
        run: {'dynamics': {'windows': {}, 'prompts': PROMPTS, 'points': [point(*each) for each in points]}}
        for run, (_, _, points) in runs.items()
    }
    return SimpleNamespace(explained=explained, config={'runs': config, 'sweep': {'bootstrap': 50}, 'seed': 0})


def of(rows, equal, run):
    (row,) = [row for row in rows if (row['equal'], row['full_run']) == (equal, run)]
    return row


def test_pairs_are_matched_by_rate_by_best_by_loss_and_by_kl():
    rows = dynamics.section(found()).tables['matched']
    assert len(rows) == 6  # one of equal rate, one of each method's best, and two for both pairs
    assert of(rows, 'learning rate', 'full')['kl_ratio'] == pytest.approx(4)
    loss = of(rows, 'training loss', 'full')
    assert (loss['at'], loss['full_step'], loss['lora_step']) == (0.5, 10, 20)
    assert loss['kl_ratio'] == pytest.approx(2)
    kl = of(rows, 'KL', 'full')
    assert (kl['at'], kl['full_loss'], kl['full_step']) == pytest.approx((0.2, 1.75, 5))
    assert kl['full_held_out_accuracy'] == pytest.approx(0.9)
    same = of(rows, 'training loss', 'full_best')
    assert (same['kl_ratio'], same['kl_ratio_low'], same['kl_ratio_high']) == pytest.approx((1, 1, 1))


def test_the_best_run_of_a_method_is_that_of_the_least_loss():
    rows = dynamics.section(found()).tables['learning_rates']
    assert [(row['run'], row['best']) for row in rows] == [('full_best', False), ('full', True), ('lora', True)]


def test_sentences_say_what_was_made_equal():
    first, *_, loss, kl = dynamics.section(found()).sentences
    assert first == (
        'At equal learning rate (1 pair of a full run and a LoRA run) full tuning has 4.00 times the mean KL of LoRA '
        '[4.00, 4.00]; LoRA’s held-out accuracy is 40.0 points above.'
    )
    assert loss.startswith(
        'At equal training loss (2 pairs of a full run and a LoRA run) full tuning has 1.00 to 2.00 times the mean KL'
    )
    assert kl.startswith('At equal KL (2 pairs of a full run and a LoRA run) the training loss of full tuning is')


def test_the_table_has_every_checkpoint_and_no_lists():
    rows = dynamics.section(found()).tables['dynamics']
    assert [row['step'] for row in rows] == [0, 10, 20] * 3
    assert not any(isinstance(value, list) for row in rows for value in row.values())
    assert rows[0]['unshifted'] == 100


def test_a_method_by_itself_is_drawn_and_not_compared():
    section = dynamics.section(found({'lora': RUNS['lora']}))
    assert section.tables['matched'] == []
    assert section.sentences == []
    assert 'dynamics' in section.figures
