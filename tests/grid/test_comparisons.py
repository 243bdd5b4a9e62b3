import numpy as np
import pytest
from grid_rows import SEEDS, SIZES, row, rows

from jaxshift.grid import comparisons


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


def test_means_have_a_row_a_size_and_run_in_the_order_of_the_config():
    found = comparisons.means(rows({'lora': {'kl_tuned_base': 0.1}, 'full': {'kl_tuned_base': 0.4}}))
    assert [(each['size'], each['run']) for each in found] == [(s, r) for s in SIZES for r in ('lora', 'full')]
    assert found[1]['kl_tuned_base'] == pytest.approx(0.4, rel=0.05)
    assert found[1]['kl_tuned_base_low'] < 0.4 < found[1]['kl_tuned_base_high']
