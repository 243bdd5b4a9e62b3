"""Work on stacked weights layer by layer: each device has one whole layer at a time, whatever the mesh cuts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxshift.devices import mesh as meshes


def each_layer(function: Callable, mesh: Mesh, *stacks: Any) -> Any:
    """`function` of every layer.

    Args:
      function: takes a layer of each stack, without the layer axis, and gives a tree of arrays; hashable, such as a
        function of a module.
      mesh: its devices work on different layers at the same time.
      stacks: trees of arrays [L, ...].

    Returns:
      What `function` gives, numpy arrays [L, ...] on every process.
    """
    depth = jax.tree.leaves(stacks)[0].shape[0]
    work, found = _program(function, mesh), []
    for start in range(0, depth, mesh.size):
        # The last layer fills up a turn that has fewer layers than devices.
        layers = jnp.minimum(jnp.arange(start, start + mesh.size), depth - 1)
        found.append(meshes.host(work(layers, *stacks)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:depth], *found)


@functools.lru_cache
def _program(function: Callable, mesh: Mesh) -> Callable:
    own, whole = NamedSharding(mesh, P(mesh.axis_names)), NamedSharding(mesh, P())
    constrain = jax.lax.with_sharding_constraint

    def work(layers, *stacks):
        def dealt(stack):
            # Left to itself XLA would gather all of these layers on every device.
            def deal(device, kept):
                layer = constrain(stack[layers[device]], whole)
                return constrain(jnp.where(_only(device, kept), layer, kept), own)

            empty = constrain(jnp.zeros((mesh.size, *stack.shape[1:]), stack.dtype), own)
            return jax.lax.fori_loop(0, mesh.size, deal, empty)

        one = jax.shard_map(jax.vmap(function), mesh=mesh, in_specs=own.spec, out_specs=own.spec, check_vma=False)
        return one(*jax.tree.map(dealt, stacks))

    return jax.jit(work)


def _only(device: jax.Array, kept: jax.Array) -> jax.Array:
    """Which of the devices' layers [devices, ...] is that of one device."""
    return (jnp.arange(len(kept)) == device).reshape(-1, *(1,) * (kept.ndim - 1))
