"""AdamW with clipping, and the learning rate of every step."""

from __future__ import annotations

import jax
import numpy as np
import optax

from jaxshift.config import Run


def adamw(b1: float, b2: float, weight_decay: float, clip: float) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) after clipping by global norm, without its learning rate.

    The train step multiplies by minus the learning rate, which is an argument: one compiled step serves every rate.
    """
    return optax.chain(
        optax.clip_by_global_norm(clip),
        optax.scale_by_adam(b1=b1, b2=b2),
        optax.add_decayed_weights(weight_decay),
    )


def learning_rates(run: Run, steps: int) -> np.ndarray:
    """The learning rate of each step: [steps] float32; linear warm-up, then a cosine to `final_fraction`."""
    warmup = round(run.warmup * steps)
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=run.learning_rate / (warmup + 1) if warmup else run.learning_rate,
        peak_value=run.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(steps, warmup + 1),
        end_value=run.learning_rate * run.final_fraction,
    )
    return np.asarray(jax.vmap(schedule)(np.arange(steps)), np.float32)
