"""Optimizers with clipping and weight decay, and the learning rate of every step."""

from __future__ import annotations

import jax
import numpy as np
import optax

from jaxshift.config import Run


def chain(
    name: str, b1: float, b2: float, weight_decay: float, decay_norms: bool, clip: float
) -> optax.GradientTransformation:
    """An optimizer after clipping by global norm, without its learning rate.

    The train step multiplies by minus the learning rate, which is an argument: one compiled step serves every rate.

    Args:
      name: adamw (Loshchilov & Hutter 2019), or adafactor (Shazeer & Stern 2018) without momentum.
      b1, b2: AdamW's decays of the moments.
      weight_decay: decoupled, times the learning rate.
      decay_norms: weight decay reaches norms and biases too.
      clip: greatest global gradient norm.
    """
    rule = optax.scale_by_adam(b1=b1, b2=b2) if name == 'adamw' else _adafactor()
    mask = None if decay_norms else _decayed
    return optax.chain(optax.clip_by_global_norm(clip), rule, optax.add_decayed_weights(weight_decay, mask))


def _adafactor() -> optax.GradientTransformation:
    """Adafactor for learning rates that are steps, as for AdamW: not relative to the size of the parameter."""
    return _layer_by_layer(optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)))


def _layer_by_layer(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """A transformation that sees the matrices of single layers, where the parameters are stacked [L, ...]."""

    def init(params):
        states = _layer_axes(jax.eval_shape(inner.init, params))
        return jax.vmap(inner.init, (_layer_axes(params),), states)(params)

    def update(updates, state, params=None):
        trees, states = _layer_axes(updates), _layer_axes(state)
        return jax.vmap(inner.update, (trees, states, trees), (trees, states))(updates, state, params)

    return optax.GradientTransformation(init, update)


def _layer_axes(tree):
    """0 for what is stacked, None for the rest: axes for `jax.vmap`."""
    return jax.tree_util.tree_map_with_path(lambda path, _: 0 if 'layers' in _names(path) else None, tree)


def _decayed(params: dict):
    """True for matrices, False for norms and biases; told by name, because every leaf of the layers is stacked."""
    return jax.tree_util.tree_map_with_path(lambda path, _: not _names(path)[-1].endswith(('norm', '_bias')), params)


def _names(path) -> list[str]:
    return [str(getattr(part, 'key', getattr(part, 'name', part))) for part in path]


def learning_rates(run: Run, steps: int) -> np.ndarray:
    """The learning rate of each step: [steps] float32; linear warm-up, then a cosine, a line or none.

    Cosine and linear end at `final_fraction` of the peak. Where there is a warm-up its first step learns too, so these
    are the rates of transformers' `get_scheduler` with one more warm-up step, from its second step on.
    """
    warmup, peak, final = round(run.warmup * steps), run.learning_rate, run.learning_rate * run.final_fraction
    after = max(steps, warmup + 1) - warmup
    falling = {
        'cosine': optax.cosine_decay_schedule(peak, after, final / peak),
        'linear': optax.linear_schedule(peak, final, after),
        'constant': optax.constant_schedule(peak),
    }[run.schedule]
    rising = optax.linear_schedule(peak / (warmup + 1), peak, warmup)
    schedule = optax.join_schedules([rising, falling], [warmup])
    return np.asarray(jax.vmap(schedule)(np.arange(steps)), np.float32)
