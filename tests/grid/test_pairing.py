"""Pairs at one rate, at the best ones, and where two curves over the learning rates meet."""

import pytest
from grid_rows import row

from jaxshift.grid import pairing

FOUR = [
    row('lora', kl_tuned_base=0.1, final_loss=0.5, held_out_loss=1.2, held_out_accuracy=1.0),
    row('lora_best', kl_tuned_base=0.3, final_loss=0.3, held_out_loss=0.9, held_out_accuracy=0.8),
    row('full', kl_tuned_base=0.6, final_loss=0.1, held_out_loss=1.5, held_out_accuracy=0.6),
    row('full_best', kl_tuned_base=0.2, final_loss=0.4, held_out_loss=0.8, held_out_accuracy=1.0),
]


def chosen(rows):
    (found,) = pairing.pairs(rows).values()
    return {name: pairs[60, 0] for name, pairs in found.items()}


def test_each_pairing_takes_the_runs_that_it_names():
    treated = row('lora', kl_tuned_base=0.28, held_out_loss=0.1) | {'run': 'treated', 'plain': False}
    assert {name: tuple(side['run'] for side in pair) for name, pair in chosen([*FOUR, treated]).items()} == {
        'same learning rate': ('lora', 'full'),
        'best learning rate': ('lora_best', 'full_best'),
        'equal training loss': ('lora to lora_best', 'full_best to full'),
        'equal mean KL': ('lora to lora_best', 'full_best to full'),
    }


def test_matched_runs_are_equal_in_what_they_are_matched_on_and_the_rest_is_interpolated():
    found = chosen(FOUR)
    # LoRA reaches losses .5 to .3, full tuning .4 to .1: both .4 to .3, whose middle is three quarters of LoRA's way.
    lora, full = found['equal training loss']
    assert lora['final_loss'] == pytest.approx(0.35)
    assert full['final_loss'] == pytest.approx(0.35)
    assert (lora['held_out_accuracy'], full['held_out_accuracy']) == pytest.approx((0.85, 1 - 0.4 / 6))
    # Of the KL .1 to .3 and .2 to .6: .25.
    lora, full = found['equal mean KL']
    assert (lora['kl_tuned_base'], full['kl_tuned_base']) == pytest.approx((0.25, 0.25))
    assert (lora['final_loss'], full['final_loss']) == pytest.approx((0.35, 0.4 - 0.3 / 8))


def test_methods_that_do_not_meet_are_not_matched_and_it_is_told():
    apart = [each | {'final_loss': each['final_loss'] - 0.25} if each['method'] == 'full' else each for each in FOUR]
    assert 'equal training loss' not in chosen(apart)
    assert 'equal mean KL' in chosen(apart)
    told = 'equal training loss: these learning rates of the two methods do not meet at n = 60 in 1 of 1 seeds'
    assert told in pairing.remarks(apart)
    assert not any('meet' in each for each in pairing.remarks(FOUR))


def test_one_rate_a_method_is_no_curve():
    assert set(chosen([row('lora'), row('full')])) == {'same learning rate', 'best learning rate'}


def test_a_best_rate_at_the_edge_of_those_tried_is_told():
    # Of LoRA's rates the greater is best, of full tuning's the less.
    assert {each for each in pairing.remarks(FOUR) if each.startswith('best')} == {
        'best learning rate: that of LoRA is the greatest of those tried at n = 60 in 1 of 1 seeds',
        'best learning rate: that of full tuning is the least of those tried at n = 60 in 1 of 1 seeds',
    }
    beyond = FOUR[1] | {'run': 'lora_high', 'learning_rate': 2e-2, 'held_out_loss': 1.0}
    assert not any('that of LoRA' in each for each in pairing.remarks([*FOUR, beyond]))


def test_without_the_loss_on_held_out_prompts_nobody_says_which_rate_is_best():
    assert 'best learning rate' not in chosen([row('lora', held_out_loss=None), row('full')])


def test_cells_of_one_method_each_are_paired_too():
    apart = [row('lora') | {'cell': 'a'}, row('full') | {'cell': 'b'}]
    assert chosen(apart)['same learning rate'].full['cell'] == 'b'
