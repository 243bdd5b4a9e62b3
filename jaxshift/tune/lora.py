"""LoRA (Hu et al. 2021) as a transform of parameter trees: `init`, `merge`, `fold`.

    base    {'layers': {'q_proj': [L, D, H], ...}, ...}
    adapter {'layers': {'q_proj': {'a': [L, D, r], 'b': [L, r, H]}}}
    merged  {'layers': {'q_proj': LoRA(w, a, b, scale), ...}, ...}     the model takes it like `base`
    folded  {'layers': {'q_proj': [L, D, H], ...}, ...}                plain arrays again

The gradient is taken with respect to the adapter alone, so a frozen weight has neither gradient nor optimizer state.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxshift.llama.linear import LoRA, LoraSpec


def init(key: jax.Array, base: dict, spec: LoraSpec) -> dict:
    """A new adapter: `a` uniform in +-sqrt(1 / in) (PEFT's Kaiming initialisation), `b` zero, both float32.

    Args:
      key: random key.
      base: parameter tree, or its shapes.
      spec: which projections and how wide.

    Raises:
      KeyError: a target is not a projection of the base.
    """
    adapter = {}
    for name, part in zip(spec.targets, jax.random.split(key, len(spec.targets)), strict=True):
        layers, inputs, outputs = base['layers'][name].shape
        bound = inputs**-0.5
        adapter[name] = {
            'a': jax.random.uniform(part, (layers, inputs, spec.rank), minval=-bound, maxval=bound),
            'b': jnp.zeros((layers, spec.rank, outputs)),
        }
    return {'layers': adapter}


def merge(base: dict, adapter: dict, spec: LoraSpec, key: jax.Array | None = None, paired: bool = False) -> dict:
    """The tuned parameters, with lazy `LoRA` leaves where the adapter has one.

    Args:
      base: frozen parameter tree.
      adapter: tree from `init`.
      spec: gives the scale and the dropout.
      key: turns dropout on, for training.
      paired: leaves for a forward pass of base and tuned together.
    """
    layers = dict(base['layers'])
    for name, term in adapter['layers'].items():
        depth = term['a'].shape[0]
        # An argument of the gradient must not hold the scale, or it would be trained.
        scale = jax.lax.stop_gradient(jnp.full((depth,), spec.scale, jnp.float32))
        keys = None
        if key is not None and spec.dropout:
            key, part = jax.random.split(key)
            keys = jax.random.split(part, depth)
        layers[name] = LoRA(layers[name], term['a'], term['b'], scale, keys, spec.dropout, paired)
    return base | {'layers': layers}


def fold(params: dict) -> dict:
    """Plain arrays again: `w + scale * a @ b`, summed in float32 and cast back to w's dtype. For export."""
    return jax.tree.map(_fold_leaf, params, is_leaf=lambda leaf: isinstance(leaf, LoRA))


def _fold_leaf(leaf):
    if not isinstance(leaf, LoRA):
        return leaf
    low_rank = jnp.einsum('lir,lro->lio', leaf.a, leaf.b * leaf.scale[:, None, None])
    return (leaf.w.astype(jnp.float32) + low_rank).astype(leaf.w.dtype)
