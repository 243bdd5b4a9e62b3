"""Attention kernels of accelerators, and the rule that says where one is taken.

Arguments and result are those of `attention.causal`; a window is shorter than the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.backend import get_backend

SPLASH_BLOCK = 1024  # positions; the kernel's default of 128 runs out of scalar memory at 131k positions
LANES = 128  # of a TPU's vector registers: positions come in multiples of them


@dataclass(frozen=True)
class Place:
    """What a computation is traced for.

    Attributes:
      platform: tpu, cuda (NVIDIA from Ampere on, which cuDNN's flash attention needs), or another one.
      alone: one device computes, or each device its own part (inside shard_map, or pmap).
    """

    platform: str
    alone: bool


def here() -> Place:
    """The devices of the mesh that `jax.set_mesh` made current, which may be an absent topology, or else our own."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.abstract_device is None:
        platform, alone = jax.default_backend(), jax.device_count() == 1
    else:
        platform, alone = mesh.abstract_device.platform, mesh.size == 1
    if platform == jax.default_backend() == 'gpu' and 'cuda' in get_backend().platform_version:
        major = int(jax.local_devices()[0].compute_capability.split('.')[0])
        platform = 'cuda' if major >= 8 else platform
    return Place(platform, alone or (not mesh.empty and mesh.are_all_axes_manual))


def choose(place: Place, dtype, length: int, head_size: int, packed: bool) -> str | None:
    """The kernel for rows of `length` positions: 'splash', 'cudnn', or None where the forms for every platform run.

    The splash kernel is not taken where XLA would have to cut it over devices, which it cannot (`sequence` does); nor
    for rows shorter than a register, which would be mostly padding. cuDNN has no segments, 16-bit floats alone, and before Hopper heads
    up to 128.
    """
    if place.platform == 'tpu' and place.alone and length >= LANES and head_size % 8 == 0:
        return 'splash'
    half = jnp.dtype(dtype) in (jnp.bfloat16, jnp.float16)
    if place.platform == 'cuda' and half and not packed and head_size % 8 == 0 and head_size <= 128:
        return 'cudnn'
    return None


def splash(q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array | None, window: int | None) -> jax.Array:
    """JAX's splash attention for TPUs, with the blocks of a window or of the future left out."""
    from jaxshift.llama import splash as tpu  # see there

    length = q.shape[-3]
    block = min(SPLASH_BLOCK, length + -length % LANES)
    # Padding lies after every query, so causality alone keeps it out of sight.
    pad = -length % block
    q, k, v = (jnp.pad(x, [*[(0, 0)] * (x.ndim - 3), (0, pad), (0, 0), (0, 0)]) for x in (q, k, v))
    own = None if segments is None else jnp.pad(segments, ((0, 0), (0, pad)))
    kernel = tpu.kernel(np.arange(length + pad, dtype=np.int32), length + pad, q.shape[-2], window, block)
    return tpu.attend(kernel, q, k, v, None if own is None else (own, own))[..., :length, :, :]


def cudnn(q: jax.Array, k: jax.Array, v: jax.Array, segments: None, window: int | None) -> jax.Array:
    """cuDNN's flash attention; rows are not packed."""
    local = None if window is None else (window - 1, 0)
    out = jax.nn.dot_product_attention(
        rows(q), rows(k), rows(v), is_causal=True, local_window_size=local, implementation='cudnn'
    )
    return unrows(out, q.shape)


def rows(x: jax.Array) -> jax.Array:
    """[..., B, T, heads, hd] to [B * ..., T, heads, hd]; rows stay on the devices that they are dealt to."""
    return jnp.moveaxis(x, -4, 0).reshape(-1, *x.shape[-3:])


def unrows(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The inverse of `rows`: back to `shape`."""
    *lead, rows = shape[:-3]
    return jnp.moveaxis(x.reshape(rows, *lead, *shape[-3:]), 0, -4)


KERNELS: dict[str, Callable] = {'splash': splash, 'cudnn': cudnn}
