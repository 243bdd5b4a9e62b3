"""The section of training dynamics, on trajectories with known answers."""

from types import SimpleNamespace

import pytest

from jaxshift.report import dynamics

PROMPTS = ['a', 'b', 'c']


def point(step, loss, kl, accuracy, apart=None):
    answers = {'held_out_n': 192, 'held_out_accuracy': accuracy, 'new_fact_accuracy': None}
    found = {'step': step, 'loss': loss, 'answers': answers} | ({} if apart is None else {'held_out_loss': apart})
    if not step:
        return found
    mean = {'mean': kl, 'interval': None}
    shares = {name: {'mean': 10.0, 'interval': None} for name in ('unshifted', 'marginal', 'shifted')}
    measures = {'positions': 30, 'kl_tuned_base': mean, 'sentence_start': mean, 'sentence_rest': mean, 'shares': shares}
    sums = [8 * kl, 10 * kl, 12 * kl]
    return found | {'all': measures, 'without_end': measures, 'kl_sums': sums, 'positions': [10, 10, 10]}


RUNS = {
    'lora': ('lora', 2e-3, [(0, 3.0, 0, 1.0, 3.1), (10, 1.0, 0.1, 1.0, 1.2), (20, 0.5, 0.2, 0.9, 0.7)]),
    'full': ('full', 2e-3, [(0, 3.0, 0, 1.0, 3.1), (10, 0.5, 0.4, 0.8, 0.9), (20, 0.1, 0.8, 0.5, 1.6)]),  # overfits
    'full_best': ('full', 3e-4, [(0, 3.0, 0, 1.0, 3.1), (10, 1.0, 0.1, 1.0, 1.2), (20, 0.5, 0.2, 0.9, 0.7)]),
}


def without_held_out(runs):
    return {run: (method, rate, [each[:4] for each in points]) for run, (method, rate, points) in runs.items()}


def found(runs=RUNS, settings=None):
    config = {run: {'method': method, 'learning_rate': rate} for run, (method, rate, _) in runs.items()}
    for run, more in (settings or {}).items():
        config[run] |= more
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


def test_the_best_rate_is_that_of_the_least_held_out_loss():
    tables = dynamics.section(found()).tables
    best = [(row['run'], row['best']) for row in tables['learning_rates']]
    assert best == [('full_best', True), ('full', False), ('lora', True)]
    assert of(tables['matched'], 'own best learning rate', 'full_best')['kl_ratio'] == pytest.approx(1)


def test_no_rate_is_best_by_the_loss_on_what_was_trained_on():
    section = dynamics.section(found(without_held_out(RUNS)))
    assert {row['equal'] for row in section.tables['matched']} == {'learning rate', 'training loss', 'KL'}
    assert [row['best'] for row in section.tables['learning_rates']] == [None] * 3
    assert any(sentence.startswith('No learning rate is called the best') for sentence in section.sentences)


@pytest.mark.parametrize('setting', [{'treatment': 'short'}, {'neftune_alpha': 5.0}])
def test_runs_of_other_data_or_noise_are_not_paired(setting):
    section = dynamics.section(found(settings={'lora': setting}))
    assert section.tables['matched'] == []
    (sentence,) = section.sentences
    assert sentence.startswith('Not compared: 2 pairs')
    both = dynamics.section(found(settings={'lora': setting, 'full': setting})).tables['matched']
    assert {row['full_run'] for row in both} == {'full'}


def test_a_run_whose_loss_only_rises_meets_nowhere_and_the_page_says_so():
    runs = RUNS | {'full': ('full', 2e-3, [(0, 3.0, 0, 1.0), (10, 4.0, 0.4, 0.8), (20, 9.0, 0.8, 0.5)])}
    section = dynamics.section(found(without_held_out(runs)))
    rows = section.tables['matched']
    assert [row['full_run'] for row in rows if row['equal'] == 'training loss'] == ['full_best']
    assert 'Not compared at equal training loss: 1 pair, of which a run never leaves the base’s.' in (section.sentences)
    assert [row['full_run'] for row in rows if row['equal'] == 'KL'] == ['full', 'full_best']


def test_of_other_prompts_no_ratio_is_claimed():
    other = found()
    other.explained['lora']['dynamics']['prompts'] = ['d', 'e', 'f']
    first, *_ = dynamics.section(other).sentences
    assert first.startswith(
        'At equal learning rate (1 pair of a full run and a LoRA run) mean KLs have no ratio, because they are of '
        'other prompts'
    )


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
