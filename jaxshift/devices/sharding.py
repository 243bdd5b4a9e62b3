"""Which axis of the mesh cuts which axis of an array: one table, the first pattern that matches wins.

Parameters, adapters, optimizer state and the cache are laid out by the table. Activations are laid out where it
matters by `constrain`, and `each_device` runs what XLA would cut badly, on the mesh that `jax.set_mesh` made current.
Without such a mesh, on one device, and where devices compute their own parts already, both do nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

ROWS = ('data', 'fsdp')  # how the rows of a batch are dealt
RESIDUAL = P(ROWS, 'sequence', None)  # [..., B, T, D]; the pair axis in front is never cut

# Patterns are searched in paths such as layers/q_proj, layers/q_proj/a, mu/layers/q_proj (optimizer state) or cache/k.
TABLE = (
    (r'v_(row|col)/', P()),  # Adafactor's factors: a number for each row or column of a matrix
    (r'layers/(o|down)_proj/b$', P(None, None, 'fsdp')),  # as its weight gives activations: none is cut over tensor
    (r'layers/\w+_proj/a$', P(None, 'fsdp', None)),
    (r'layers/\w+_proj/b$', P(None, None, 'tensor')),
    (r'layers/(o|down)_proj(/codes|/scale(/\w+)*)?$', P(None, 'tensor', 'fsdp')),
    (r'layers/\w+_proj(/codes|/scale(/\w+)*)?$', P(None, 'fsdp', 'tensor')),
    (r'layers/(o|down)_proj_bias$', P()),
    (r'layers/\w+_proj_bias$', P(None, 'tensor')),
    (r'embed_tokens$', P('tensor', 'fsdp')),
    (r'lm_head$', P('fsdp', 'tensor')),
    (r'cache/[kv]$', P(None, ROWS, None, 'tensor', None)),
    (r'cache/valid$', P(ROWS, None)),
    (r'', P()),
)


def shardings(mesh: Mesh | AbstractMesh, tree) -> dict:
    """A `NamedSharding` for every array (or shape) of a tree; an axis that does not divide is left whole.

    So is a leaf with fewer axes than its pattern: Adafactor keeps [1] where it needs no number for each parameter.
    """

    def one(path, leaf):
        spec = _spec('/'.join(map(_key, path)))
        return NamedSharding(mesh, _fitting(mesh, spec, leaf.shape) if len(spec) <= len(leaf.shape) else P())

    return jax.tree_util.tree_map_with_path(one, tree)


def abstract(mesh: Mesh, tree) -> dict:
    """Shapes with their shardings: what a checkpoint is restored into and a step compiled for."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings(mesh, tree),
    )


def current() -> AbstractMesh | None:
    """The mesh that a computation is traced for, where it has anything to lay out."""
    mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty or mesh.size == 1 or mesh.manual_axes else mesh


def constrain(x: jax.Array, spec: P) -> jax.Array:
    """`x` with its last axes laid out over the current mesh, those in front whole, as is what does not divide."""
    mesh = current()
    if mesh is None:
        return x
    return jax.lax.with_sharding_constraint(x, _fitting(mesh, P(*[None] * (x.ndim - len(spec)), *spec), x.shape))


def constrain_tree(tree):
    """A tree whose arrays are laid out over the current mesh by the table."""
    mesh = current()
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, shardings(mesh, tree))


def gathered(path: str, leaf):
    """A layer's part of a leaf such as layers/q_proj, whole along fsdp; the other axes cut it as the table says."""

    def one(keys, array):
        spec = _spec('/'.join((path, *map(_key, keys))))
        return constrain(array, P(*(None if axis == 'fsdp' else axis for axis in spec[1:])))

    return jax.tree_util.tree_map_with_path(one, leaf)


def dividing(axes: str | tuple[str, ...], size: int) -> tuple[str, ...]:
    """Axes of the current mesh that an array's axis of some size is cut over: all that are named, or none."""
    mesh = current()
    names = _names(axes)
    return names if mesh is not None and size % _shards(mesh, names) == 0 else ()


def count(names: tuple[str, ...]) -> int:
    """Number of parts that axes of the current mesh cut into."""
    mesh = current()
    return 1 if mesh is None else _shards(mesh, names)


def each_device(function: Callable, in_specs, out_specs) -> Callable:
    """`function` on every device's own parts, inside `jax.shard_map` over the current mesh; or as it is without one."""
    mesh = current()
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def _spec(path: str) -> P:
    return next(spec for pattern, spec in TABLE if re.search(pattern, path))


def _fitting(mesh: Mesh | AbstractMesh, spec: P, shape: tuple[int, ...]) -> P:
    sizes = [_shards(mesh, _names(axes)) for axes in spec]
    return P(*(axes if n % size == 0 else None for axes, n, size in zip(spec, shape, sizes, strict=False)))


def _shards(mesh: Mesh | AbstractMesh, names: tuple[str, ...]) -> int:
    return math.prod(mesh.shape[name] for name in names)


def _names(axes: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (axes,) if isinstance(axes, str) else axes or ()


def _key(part) -> str:
    for attribute in ('key', 'name', 'idx'):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)
