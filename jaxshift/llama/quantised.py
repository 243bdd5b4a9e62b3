"""Frozen weights of 8 and 4 bits: `Int8` and `NF4`, leaves that `llama.linear.dot` takes like arrays.

    weight      [L, in, out]
    Int8        codes [L, in, out] int8, scale [L, 1, out] float32
    NF4         codes [L, in, out] uint4, scale [L, in / 64, out] float32, or `Offset` of it (double quantisation)

The first field has the weight's own shape, and every array keeps the layer axis first, so that `nn.scan` slices the
leaf and the model dequantises one layer's projection where it is used. All scales belong to one output channel, so
channels are quantised apart, whatever part of a weight is at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial, reduce

import jax
import jax.numpy as jnp

from jaxshift.checks import LINEAR_TARGETS
from jaxshift.devices import sharding
from jaxshift.errors import InputError
from jaxshift.llama import kernels

BLOCK = 64  # inputs that share a scale
# The 16 levels of NormalFloat4 (Dettmers et al. 2023, appendix E): quantiles of a normal distribution, and 0.
LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


@partial(jax.tree_util.register_dataclass, data_fields=['codes', 'scale'], meta_fields=[])
@dataclass
class Int8:
    """`codes * scale`: the greatest magnitude of an output channel is 127 scales.

    Attributes:
      codes: [L, in, out] int8.
      scale: [L, 1, out] float32.
    """

    codes: jax.Array
    scale: jax.Array

    def astype(self, dtype) -> jax.Array:
        """The weight, multiplied out in float32."""
        return (self.codes.astype(jnp.float32) * self.scale).astype(dtype)


@partial(jax.tree_util.register_dataclass, data_fields=['deviation', 'mean'], meta_fields=[])
@dataclass
class Offset:
    """Scales of blocks in 8 bits each: their mean over an output channel and the deviation from it.

    QLoRA deviates by 8-bit floats from the mean of all, in groups of 256 blocks; here a group is an output channel.

    Attributes:
      deviation: of [L, in / 64, out].
      mean: [L, 1, out] float32.
    """

    deviation: Int8
    mean: jax.Array

    def astype(self, dtype) -> jax.Array:
        return (self.deviation.astype(jnp.float32) + self.mean).astype(dtype)


@partial(jax.tree_util.register_dataclass, data_fields=['codes', 'scale'], meta_fields=[])
@dataclass
class NF4:
    """`LEVELS[codes] * scale` (Dettmers et al. 2023): the greatest magnitude of a block of 64 inputs is its scale.

    Attributes:
      codes: [L, in, out] uint4.
      scale: [L, in / 64, out] float32, the last block may be shorter; or an `Offset` of that shape.
    """

    codes: jax.Array
    scale: jax.Array | Offset

    def astype(self, dtype) -> jax.Array:
        """The weight, multiplied out in float32."""
        scale = jnp.repeat(self.scale.astype(jnp.float32), BLOCK, axis=-2)
        return (_levels(self.codes) * scale[..., : self.codes.shape[-2], :]).astype(dtype)


def leaf(w: jax.Array, kind: str, double: bool = False) -> Int8 | NF4:
    """Quantises a weight [..., in, out].

    Args:
      w: the weight; rounded from its own precision.
      kind: 'int8' or 'nf4'.
      double: nf4 keeps its scales in 8 bits too.
    """
    w = w.astype(jnp.float32)
    if kind == 'int8':
        return _int8(w)
    inputs = w.shape[-2]
    blocks = math.ceil(inputs / BLOCK)
    padded = jnp.pad(w, [(0, 0)] * (w.ndim - 2) + [(0, blocks * BLOCK - inputs), (0, 0)])
    blocked = padded.reshape(*w.shape[:-2], blocks, BLOCK, w.shape[-1])
    scale = jnp.abs(blocked).max(axis=-2)
    codes = _nearest(blocked / _divisor(scale)[..., None, :]).reshape(padded.shape)[..., :inputs, :]
    if not double:
        return NF4(codes, scale)
    mean = scale.mean(axis=-2, keepdims=True)
    return NF4(codes, Offset(_int8(scale - mean), mean))


def quantise(params: dict, kind: str, double: bool = False) -> dict:
    """Parameters with every projection quantised; embeddings, head, norms and biases stay as they are.

    `kind` '' changes nothing.
    """
    if not kind:
        return params
    layers = {name: leaf(w, kind, double) if name in LINEAR_TARGETS else w for name, w in params['layers'].items()}
    return params | {'layers': layers}


def shapes(tree: dict, kind: str, double: bool = False) -> dict:
    """What `quantise` makes of a tree of that description, as a tree of `jax.ShapeDtypeStruct`."""
    return jax.eval_shape(partial(quantise, kind=kind, double=double), tree)


def gathered(w, path: str):
    """A layer's weight, whose codes, where it is quantised, every device of fsdp gets: XLA would deal out the numbers.

    Args:
      w: any weight leaf of one layer.
      path: such as layers/q_proj.
    """

    def one(leaf):
        if not is_leaf(leaf):
            return leaf
        if leaf.codes.dtype == jnp.uint4 and kernels.here().platform != 'tpu':
            leaf = NF4(leaf.codes.astype(jnp.uint8), leaf.scale)  # NCCL has no type of 4 bits
        return sharding.gathered(path, leaf)

    return jax.tree.map(one, w, is_leaf=is_leaf)


def is_leaf(w) -> bool:
    """Whether a weight is quantised."""
    return isinstance(w, Int8 | NF4)


def refuse(params: dict, where: str) -> None:
    """Raises InputError if any weight is quantised: what is written would pass for the original."""
    if any(map(is_leaf, jax.tree.leaves(params, is_leaf=is_leaf))):
        raise InputError(
            f'{where}: the base is quantised, and its rounded weights would pass for the original; export the adapter, '
            'which fits the original, or fold it with config.base.quantize empty'
        )


def _int8(w: jax.Array) -> Int8:
    scale = jnp.abs(w).max(axis=-2, keepdims=True) / 127
    return Int8(jnp.round(w / _divisor(scale)).astype(jnp.int8), scale)


def _divisor(scale: jax.Array) -> jax.Array:
    return jnp.where(scale > 0, scale, 1)  # where all is zero, so are the codes


def _nearest(x: jax.Array) -> jax.Array:
    """Index of the nearest level for x in [-1, 1]; of two that are as near, the lower."""
    middles = [(low + high) / 2 for low, high in zip(LEVELS, LEVELS[1:], strict=False)]
    return reduce(jnp.add, [(x > middle).astype(jnp.uint8) for middle in middles]).astype(jnp.uint4)


def _levels(codes: jax.Array) -> jax.Array:
    """LEVELS[codes] by a tree of choices, bit by bit: vector units choose fast, and look up slowly."""
    codes = codes.astype(jnp.uint8)
    values = [jnp.float32(level) for level in LEVELS]
    for bit in range(4):
        odd = (codes >> bit) & 1 == 1
        values = [jnp.where(odd, high, low) for low, high in zip(values[::2], values[1::2], strict=True)]
    return values[0]
