"""The formula against XLA's own count of small models whose loops run once, so that it misses nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxshift.config import Run
from jaxshift.llama import flops, model
from jaxshift.llama.config import LlamaConfig
from jaxshift.tune import lora, train
from jaxshift.tune.step import lora_spec, loss, recipe

CONFIG = LlamaConfig(
    vocab_size=512, hidden_size=256, intermediate_size=640, num_hidden_layers=1, num_attention_heads=4,
    num_key_value_heads=2, head_dim=64, max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=1e4,
)  # fmt: skip
ROWS, LENGTH = 4, 32


def counted(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()['flops']


def rows():
    ids = jax.ShapeDtypeStruct((ROWS, LENGTH), jnp.int32)
    return dict.fromkeys(('tokens', 'positions', 'segments'), ids) | {
        'trained': jax.ShapeDtypeStruct((ROWS, LENGTH), bool)
    }


def square(work, products):
    """XLA counts the whole square of attention, the formula its half."""
    return work + products * flops.attention(CONFIG, [LENGTH] * ROWS)


@pytest.mark.parametrize('method', ['full', 'lora'])
def test_a_train_step_is_what_xla_counts(method):
    run = Run(method=method, rank=8, remat='none', batch_size=ROWS)
    shape = recipe(run, CONFIG, 'float32')
    whole, trained = model.shapes(CONFIG), train.shapes(shape)
    step = jax.value_and_grad(lambda trainable, frozen, batch: loss(shape, trainable, frozen, batch))
    found = counted(step, trained, whole if method == 'lora' else None, rows())
    adapter = lora.size(whole, lora_spec(run)) if method == 'lora' else None
    expected = flops.train(CONFIG, [LENGTH] * ROWS, ROWS * LENGTH, adapter)
    if method == 'lora':  # nothing is trained below the lowest layer, so the gradient of its input is left out
        expected -= 2 * 256 * (256 + 128 + 128) * ROWS * LENGTH
    # XLA counts what is done element by element too: norms, rotations, softmax, the loss.
    assert found == pytest.approx(square(expected, 3), rel=0.06)


def test_a_frozen_weight_costs_two_thirds_of_a_trained_one():
    full = flops.train(CONFIG, [1], 0, None) - 3 * flops.attention(CONFIG, [1])
    frozen = flops.train(CONFIG, [1], 0, 0) - 3 * flops.attention(CONFIG, [1])
    assert frozen / full == pytest.approx(2 / 3)


def test_rematerialisation_is_one_more_forward_pass_of_the_layers():
    run = Run(method='full', remat='nothing_saveable', batch_size=ROWS)
    whole = model.shapes(CONFIG)

    def count(remat):
        shape = recipe(Run(method='full', remat=remat, batch_size=ROWS), CONFIG, 'float32')
        step = jax.grad(lambda params, batch: loss(shape, params, None, batch))
        return counted(step, whole, rows())

    expected = flops.recomputed(CONFIG, [LENGTH] * ROWS, run.remat) + flops.attention(CONFIG, [LENGTH] * ROWS)
    assert count('nothing_saveable') - count('none') == pytest.approx(expected, rel=0.3)
    assert flops.recomputed(CONFIG, [LENGTH] * ROWS, 'none') == 0


def test_a_forward_pass_with_its_head_is_what_xla_counts():
    def score(params, tokens):
        return model.forward(CONFIG, params, tokens) @ model.head(params)

    found = counted(score, model.shapes(CONFIG), rows()['tokens'])
    assert found == pytest.approx(square(flops.forward(CONFIG, [LENGTH] * ROWS, ROWS * LENGTH), 1), rel=0.06)


@pytest.mark.parametrize('window', [None, 5])
def test_attention_is_counted_over_the_pairs_that_see_each_other(window):
    config = LlamaConfig(**{**vars(CONFIG), 'sliding_window': window})
    lengths = [200, 3]
    seen = sum(min(place + 1, window or place + 1) for length in lengths for place in range(length))
    expected = 4 * 4 * 64 * seen  # scores and sums, heads, their width
    assert flops.attention(config, lengths) == pytest.approx(expected, rel=0.12)


def test_llama_2_70b_trains_at_six_flops_a_parameter_and_token():
    from jaxshift.weights.known import CONFIGS

    config = CONFIGS['meta-llama/Llama-2-70b-hf']
    lengths = np.full(32, 1024)
    work = flops.train(config, lengths, lengths.sum(), None) - 3 * flops.attention(config, lengths)
    matrices = config.parameters - config.vocab_size * config.hidden_size  # the embedding is looked up
    assert work / lengths.sum() == pytest.approx(6 * matrices, rel=1e-3)
