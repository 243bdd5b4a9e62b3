"""What tuning did to the weights: the spectrum of each change, and directions that the base does not have.

A weight is a projection of one layer as the model holds it, w [in, out]: the transpose of a file's W [out, in]. Left
singular vectors are those of W, in the space of outputs. All of it is float32, in full precision on every device.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.llama.linear import LoRA

SHARE = 0.9  # of the squared spectrum, behind the effective rank
Weight = Any  # an array or a quantised leaf


def norm(w: Weight) -> jax.Array:
    """Frobenius norm of an array of any shape."""
    return jnp.linalg.norm(w.astype(jnp.float32).reshape(-1))


def change_norm(base: Weight, tuned: Weight) -> jax.Array:
    """Frobenius norm of a change."""
    return norm(tuned.astype(jnp.float32) - base.astype(jnp.float32))


def spectrum(base: jax.Array, tuned: jax.Array) -> jax.Array:
    """Singular values of a change [in, out], descending: [min(in, out)]."""
    return jnp.linalg.svd(tuned.astype(jnp.float32) - base.astype(jnp.float32), compute_uv=False)


def low_rank_spectrum(leaf: LoRA) -> jax.Array:
    """Singular values of `scale * a @ b` of one layer, descending: [r].

    a = Q R and b^T = P S with orthonormal Q and P, so they are those of R S^T, r x r: the change is never formed.
    """
    with jax.default_matmul_precision('highest'):
        r = jnp.linalg.qr(leaf.a, mode='r')
        s = jnp.linalg.qr((leaf.b * leaf.scale).T, mode='r')
        return jnp.linalg.svd(r @ s.T, compute_uv=False)


def cosines(base: Weight, tuned: Weight | LoRA) -> jax.Array:
    """For each left singular vector of a tuned weight its greatest |cosine| with any of the base's.

    Both have min(in, out) of them, in the order of falling singular values. The first k that stay below epsilon are
    intruder dimensions (Shuttleworth et al. 2024, arXiv 2410.21228).
    """
    with jax.default_matmul_precision('highest'):
        whole = tuned.folded(jnp.float32) if isinstance(tuned, LoRA) else tuned.astype(jnp.float32)
        own = jnp.linalg.svd(base.astype(jnp.float32), full_matrices=False)[2]
        found = jnp.linalg.svd(whole, full_matrices=False)[2]
        return jnp.abs(found @ own.T).max(axis=1)


def effective_rank(values: np.ndarray, share: float = SHARE) -> int:
    """The least number of directions with so large a share of the squared spectrum; 0 where nothing changed."""
    energy = np.cumsum(np.asarray(values, np.float64) ** 2)
    return int(np.searchsorted(energy, share * energy[-1])) + 1 if energy[-1] > 0 else 0


def stable_rank(values: np.ndarray) -> float:
    """Squared Frobenius norm over squared spectral norm; 0 where nothing changed."""
    squares = np.asarray(values, np.float64) ** 2
    return float(squares.sum() / squares.max()) if squares.max() > 0 else 0.0


def shares(values: np.ndarray) -> list[float]:
    """Share of the squared spectrum in the first 1, 2, 4, ... directions; empty where nothing changed."""
    energy = np.cumsum(np.asarray(values, np.float64) ** 2)
    if not energy[-1]:
        return []
    return [float(energy[2**i - 1] / energy[-1]) for i in range(len(energy).bit_length())]
