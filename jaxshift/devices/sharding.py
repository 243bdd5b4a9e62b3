"""Which axis of the mesh cuts which axis of a parameter: one table, the first pattern that matches wins."""

from __future__ import annotations

import re

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

# Patterns are searched in paths such as layers/q_proj, layers/q_proj/a or mu/layers/q_proj (optimizer state).
TABLE = (
    (r'v_(row|col)/', P()),  # Adafactor's factors: a number for each row or column of a matrix
    (r'layers/\w+_proj/a$', P(None, 'fsdp', None)),
    (r'layers/\w+_proj/b$', P(None, None, 'tensor')),
    (r'layers/(o|down)_proj(/codes|/scale(/\w+)*)?$', P(None, 'tensor', 'fsdp')),
    (r'layers/\w+_proj(/codes|/scale(/\w+)*)?$', P(None, 'fsdp', 'tensor')),
    (r'layers/(o|down)_proj_bias$', P()),
    (r'layers/\w+_proj_bias$', P(None, 'tensor')),
    (r'embed_tokens$', P('tensor', 'fsdp')),
    (r'lm_head$', P('fsdp', 'tensor')),
    (r'', P()),
)


def shardings(mesh: Mesh, tree) -> dict:
    """A `NamedSharding` for every array (or shape) of a tree; an axis that does not divide is left whole.

    So is a leaf with fewer axes than its pattern: Adafactor keeps [1] where it needs no number for each parameter.
    """

    def one(path, leaf):
        name = '/'.join(_key(part) for part in path)
        spec = next(spec for pattern, spec in TABLE if re.search(pattern, name))
        if len(spec) > len(leaf.shape):
            return NamedSharding(mesh, P())
        sizes = [1 if axis is None else mesh.shape[axis] for axis in spec]
        divides = [size and leaf.shape[i] % size == 0 for i, size in enumerate(sizes)]
        return NamedSharding(mesh, P(*(axis if fits else None for axis, fits in zip(spec, divides, strict=True))))

    return jax.tree_util.tree_map_with_path(one, tree)


def abstract(mesh: Mesh, tree) -> dict:
    """Shapes with their shardings: what a checkpoint is restored into and a step compiled for."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings(mesh, tree),
    )


def _key(part) -> str:
    for attribute in ('key', 'name', 'idx'):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)
