"""The one seam through which every projection goes: `dot(x, w)`.

A weight leaf is an array or a registered dataclass whose first field has the weight's own shape (Linen checks that
field alone) and whose array fields all keep the layer axis first, so that `nn.scan` slices it like an array: `LoRA`
and `Changed`, here, and `Int8` and `NF4` of `llama/quantised.py`, which these two may hold. Nothing else in the model
knows that such leaves exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxshift.llama.quantised import NF4, Int8


@dataclass(frozen=True)
class LoraSpec:
    """What a low-rank adapter is: which modules, how wide, and how its term is scaled, by the rules of PEFT.

    A module is a projection of one layer under its Hugging Face name, `model.layers.0.self_attn.q_proj`.

    Attributes:
      targets: modules that are adapted: names, or what follows a dot in them, such as `q_proj`.
      rank: width r of the bottleneck where no pattern matches.
      alpha: numerator of the scale where no pattern matches.
      rslora: scale by alpha / sqrt(r) (Kalajdzievski 2023) instead of alpha / r (Hu et al. 2021), r of the module.
      dropout: probability of dropping an input of `a` while training.
      rank_pattern: (regular expression, rank); the first that matches a module, or its end after a dot, holds.
      alpha_pattern: (regular expression, alpha), likewise.
    """

    targets: tuple[str, ...]
    rank: int
    alpha: float
    rslora: bool = False
    dropout: float = 0.0
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, float], ...] = ()

    @property
    def projections(self) -> tuple[str, ...]:
        """Names of the projections that are adapted in any layer, each once."""
        return tuple(dict.fromkeys(target.rpartition('.')[2] for target in self.targets))

    def rank_of(self, module: str) -> int:
        """The rank of a module; 0 where it is not adapted."""
        if not any(f'.{module}'.endswith(f'.{target}') for target in self.targets):
            return 0
        return next((rank for pattern, rank in self.rank_pattern if matches(pattern, module)), self.rank)

    def scale_of(self, module: str) -> float:
        """What the low-rank term of a module is multiplied by; 0 where it is not adapted."""
        rank = self.rank_of(module)
        if not rank:
            return 0.0
        alpha = next((alpha for pattern, alpha in self.alpha_pattern if matches(pattern, module)), self.alpha)
        return alpha / (rank**0.5 if self.rslora else rank)


def matches(pattern: str, module: str) -> bool:
    """Whether a key of PEFT's rank_pattern or alpha_pattern means a module: all of it, or what follows a dot."""
    return re.match(rf'(.*\.)?({pattern})$', module) is not None


@partial(
    jax.tree_util.register_dataclass,
    data_fields=['w', 'a', 'b', 'scale', 'key'],
    meta_fields=['dropout', 'paired'],
)
@dataclass
class LoRA:
    """The weight `w + scale * a @ b`, never formed.

    Autodiff through `x @ (w + scale * a @ b)` would compute the gradient of the whole weight; through
    `x @ w + scale * (x @ a) @ b` it does not.

    Attributes:
      w: [L, in, out] frozen weight, an array or quantised.
      a: [L, in, r] and b: [L, r, out], float32.
      scale: [L] float32.
      key: [L] keys for dropout on the input of `a`, or None outside training.
      dropout: probability of dropping, used with a key alone.
      paired: activations are [2, ...]; the first of the pair sees `w` alone (the base), the second the adapter too.
    """

    w: jax.Array | Int8 | NF4
    a: jax.Array
    b: jax.Array
    scale: jax.Array
    key: jax.Array | None = None
    dropout: float = field(default=0.0)
    paired: bool = field(default=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return jax.tree.leaves(self.w)[0].shape

    def folded(self, dtype=None) -> jax.Array:
        """`w + scale * a @ b`, summed in float32: of all layers, or of the one that the fields were cut to.

        Args:
          dtype: of the result; None: w's own. w is not quantised (see `quantised.refuse`).
        """
        # Some devices multiply float32 in fewer bits unless they are told.
        low_rank = jnp.matmul(self.a, self.b * self.scale[..., None, None], precision='highest')
        w: Any = self.w
        return (w.astype(jnp.float32) + low_rank).astype(dtype or w.dtype)


@partial(jax.tree_util.register_dataclass, data_fields=['w', 'change'], meta_fields=[])
@dataclass
class Changed:
    """The weight `w + change`, never summed: most of a small change would be rounded off beside a bfloat16 weight.

    Attributes:
      w: [L, in, out] weight, an array or quantised.
      change: [L, in, out].
    """

    w: jax.Array | Int8 | NF4
    change: jax.Array


def dot(x: jax.Array, w: jax.Array | Int8 | NF4 | LoRA | Changed) -> jax.Array:
    """`x @ w` in x's dtype: [..., in] by [in, out] to [..., out]."""
    if isinstance(w, Changed):
        return dot(x, w.w) + dot(x, w.change)
    if not isinstance(w, LoRA):
        return x @ w.astype(x.dtype)
    y = x @ w.w.astype(x.dtype)
    if w.paired:
        return jnp.stack([y[0], y[1] + _low_rank(x[1], w)])
    return y + _low_rank(x, w)


def _low_rank(x: jax.Array, w: LoRA) -> jax.Array:
    if w.key is not None:
        kept = jax.random.bernoulli(w.key, 1 - w.dropout, x.shape)
        x = jnp.where(kept, x / (1 - w.dropout), 0).astype(x.dtype)
    return (x @ w.a.astype(x.dtype)) @ (w.b * w.scale).astype(x.dtype)
