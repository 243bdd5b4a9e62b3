import numpy as np
import pytest
from grid_rows import SEEDS, SIZES, row, rows

from jaxshift.grid import comparisons


def test_each_pairing_takes_the_runs_that_it_names():
    four = [
        row('lora', kl_tuned_base=0.1, final_loss=0.5, reference_loss=1.2),
        row('lora_best', kl_tuned_base=0.3, final_loss=0.3, reference_loss=0.9),
        row('full', kl_tuned_base=0.5, final_loss=0.1, reference_loss=1.5),
        row('full_best', kl_tuned_base=0.28, final_loss=0.32, reference_loss=0.8),
        row('lora', kl_tuned_base=0.28, final_loss=0.32, reference_loss=0.1) | {'run': 'treated', 'plain': False},
    ]
    (found,) = comparisons.pairs(four).values()
    named = {name: tuple(side['run'] for side in pairs[60, 0]) for name, pairs in found.items()}
    assert named == {
        'same learning rate': ('lora', 'full'),
        'best learning rate': ('lora_best', 'full_best'),
        'closest training loss': ('lora_best', 'full_best'),
        'closest mean KL': ('lora_best', 'full_best'),
    }


def test_without_the_loss_on_references_nobody_says_which_rate_is_best():
    found = comparisons.pairs([row('lora', reference_loss=None), row('full')])
    assert 'best learning rate' not in found['world:', 'world']


def test_differences_are_paired_by_seed():
    both = rows({'lora': {'held_out_accuracy': 0.9}, 'full': {'held_out_accuracy': 0.6}}, noise=0.1)
    found = [each for each in comparisons.table(both) if each['measure'] == 'held_out_accuracy' and each['size'] == 240]
    (shared,) = [each for each in found if each['pairing'] == 'same learning rate']
    value = {(each['run'], each['seed']): each['held_out_accuracy'] for each in both if each['size'] == 240}
    differences = [value['full', seed] - value['lora', seed] for seed in SEEDS]
    assert shared['difference'] == pytest.approx(np.mean(differences))
    assert shared['difference_high'] - shared['difference_low'] == pytest.approx(
        2 * 2.776445 * np.std(differences, ddof=1) / 5**0.5, rel=1e-5
    )
    assert (shared['seeds'], shared['lora_runs'], shared['full_runs']) == (5, 'lora', 'full')


def test_a_seed_that_lacks_a_side_is_left_out_and_counted():
    both = [row('lora', seed=seed, held_out_accuracy=0.5) for seed in (0, 1, 2)]
    both += [row('full', seed=seed, held_out_accuracy=0.25 if seed else None) for seed in (0, 1, 2)]
    (found,) = [
        each for each in comparisons.table(both)
        if each['measure'] == 'held_out_accuracy' and each['pairing'] == 'same learning rate'
    ]  # fmt: skip
    assert (found['seeds'], found['difference']) == (2, -0.25)


def test_cells_of_one_method_each_are_paired_too():
    apart = [row('lora') | {'cell': 'a'}, row('full') | {'cell': 'b'}]
    assert comparisons.pairs(apart)['world:', 'world']['same learning rate'][60, 0].full['cell'] == 'b'


def test_means_have_a_row_a_size_and_run_in_the_order_of_the_config():
    found = comparisons.means(rows({'lora': {'kl_tuned_base': 0.1}, 'full': {'kl_tuned_base': 0.4}}))
    assert [(each['size'], each['run']) for each in found] == [(s, r) for s in SIZES for r in ('lora', 'full')]
    assert found[1]['kl_tuned_base'] == pytest.approx(0.4, rel=0.05)
    assert found[1]['kl_tuned_base_low'] < 0.4 < found[1]['kl_tuned_base_high']
