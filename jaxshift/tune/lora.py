"""LoRA (Hu et al. 2021) as a transform of parameter trees: `init`, `merge`, `fold`.

    base    {'layers': {'q_proj': [L, D, H], ...}, ...}
    adapter {'layers': {'q_proj': {'a': [L, D, r], 'b': [L, r, H]}}}
    merged  {'layers': {'q_proj': LoRA(w, a, b, scale), ...}, ...}     the model takes it like `base`
    folded  {'layers': {'q_proj': [L, D, H], ...}, ...}                plain arrays again

Ranks that differ by layer are padded with zeros to the greatest of their stack. Where a column of `a` and its row of
`b` are zero, so are both gradients: padding stays zero, and the export cuts it off.

The gradient is taken with respect to the adapter alone, so a frozen weight has neither gradient nor optimizer state.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.errors import InputError
from jaxshift.llama import quantised
from jaxshift.llama.linear import LoRA, LoraSpec, matches
from jaxshift.weights import names


def init(key: jax.Array, base: dict, spec: LoraSpec) -> dict:
    """A new adapter: `a` uniform in +-sqrt(1 / in) (PEFT's Kaiming initialisation), `b` and padding zero, float32.

    Args:
      key: random key.
      base: parameter tree, or its shapes.
      spec: which projections and how wide.

    Raises:
      KeyError: a target is not a projection of the base.
    """
    adapter = {}
    for name, part in zip(spec.projections, jax.random.split(key, len(spec.projections)), strict=True):
        layers, inputs, outputs = base['layers'][name].shape
        ranks = np.array(_ranks(spec, name, layers))
        bound, rank = inputs**-0.5, max(ranks)
        a = jax.random.uniform(part, (layers, inputs, rank), minval=-bound, maxval=bound)
        real = np.arange(rank) < ranks[:, None]
        adapter[name] = {'a': jnp.where(real[:, None], a, 0), 'b': jnp.zeros((layers, rank, outputs))}
    return {'layers': adapter}


def size(base: dict, spec: LoraSpec) -> int:
    """How many numbers an adapter trains; padding is not counted."""
    shapes = ((name, base['layers'][name].shape) for name in spec.projections)
    return sum((inputs + outputs) * sum(_ranks(spec, name, layers)) for name, (layers, inputs, outputs) in shapes)


def check(spec: LoraSpec, layers: int, key: str) -> None:
    """Raises InputError when a pattern matches no adapted module; `key` is that of the run in the config."""
    modules = [module for name in spec.projections for module in names.modules(name, layers)]
    for field in ('rank_pattern', 'alpha_pattern'):
        for pattern, _ in getattr(spec, field):
            if not any(matches(pattern, module) for module in modules):
                raise InputError(
                    f'config.{key}.{field}: {pattern!r} matches no adapted module; they are named like {modules[0]}'
                )


def _ranks(spec: LoraSpec, projection: str, layers: int) -> list[int]:
    return [spec.rank_of(module) for module in names.modules(projection, layers)]


def merge(base: dict, adapter: dict, spec: LoraSpec, key: jax.Array | None = None, paired: bool = False) -> dict:
    """The tuned parameters, with lazy `LoRA` leaves where the adapter has one.

    Args:
      base: frozen parameter tree, quantised or not (QLoRA, Dettmers et al. 2023).
      adapter: tree from `init`.
      spec: gives the scale and the dropout.
      key: turns dropout on, for training.
      paired: leaves for a forward pass of base and tuned together.
    """
    layers = dict(base['layers'])
    for name, term in adapter['layers'].items():
        depth = term['a'].shape[0]
        # An argument of the gradient must not hold the scale, or it would be trained.
        scales = [spec.scale_of(module) for module in names.modules(name, depth)]
        scale = jax.lax.stop_gradient(jnp.asarray(scales, jnp.float32))
        keys = None
        if key is not None and spec.dropout:
            key, part = jax.random.split(key)
            keys = jax.random.split(part, depth)
        layers[name] = LoRA(layers[name], term['a'], term['b'], scale, keys, spec.dropout, paired)
    return base | {'layers': layers}


def replace(params: dict, whole: dict) -> dict:
    """Parameters with those that an adapter replaces outright (PEFT's modules_to_save) in place of the base's.

    A tied head stays the base's own when only the embedding is replaced, as in PEFT.
    """
    if 'embed_tokens' in whole and not {'lm_head'} & (params.keys() | whole.keys()):
        whole = whole | {'lm_head': params['embed_tokens'].T}
    return params | whole


def fold(params: dict, dtype=None) -> dict:
    """Plain arrays again: `w + scale * a @ b`, summed in float32.

    Args:
      params: parameter tree, with lazy leaves or without.
      dtype: of all leaves; None: each keeps its own, of a lazy leaf w's.

    Raises:
      InputError: the base is quantised.
    """
    quantised.refuse(params, 'fold')
    return jax.tree.map(
        lambda leaf: _folded(leaf, dtype) if isinstance(leaf, LoRA) else leaf.astype(dtype or leaf.dtype),
        params,
        is_leaf=lambda leaf: isinstance(leaf, LoRA),
    )


@functools.partial(jax.jit, static_argnames='dtype')
def _folded(leaf: LoRA, dtype) -> jax.Array:
    """One layer after another: in float32 a stack of a large model does not fit beside its base."""
    return jax.lax.map(lambda layer: layer.folded(dtype), leaf)
