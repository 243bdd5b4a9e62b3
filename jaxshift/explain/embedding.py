"""Texts as the base sees them: the mean of its hidden states."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.data.batches import bucket
from jaxshift.devices import mesh as meshes
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.study import Study


def embed(study: Study, texts: Sequence[np.ndarray]) -> np.ndarray:
    """Mean hidden states of the base behind its final norm, over all tokens of each text: float32 [texts, D].

    A text that goes over the context of the base is cut there.
    """
    config, mesh = study.base.config, study.mesh
    parts, shards = mesh.shape['sequence'], meshes.row_shards(mesh)
    size = study.experiment.sweep.batch_size
    size += -size % shards
    found = np.zeros((len(texts), config.hidden_size), np.float32)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    for start in range(0, len(texts), size):
        batch = order[start : start + size]
        cut = [texts[number][: config.context] for number in batch]
        length = min(bucket(max(map(len, cut))), config.context)
        tokens = np.zeros((size, length + -length % parts), np.int32)
        real = np.zeros(tokens.shape, bool)
        for row, text in enumerate(cut):
            tokens[row, : len(text)], real[row, : len(text)] = text, True
        rows = meshes.put_rows(mesh, {'tokens': tokens, 'real': real})
        found[batch] = meshes.host(means(config, study.experiment.base.dtype, study.base_params, **rows))[: len(batch)]
    return found


@functools.partial(jax.jit, static_argnames=('config', 'dtype'))
def means(config: LlamaConfig, dtype: str, params: dict, tokens: jax.Array, real: jax.Array) -> jax.Array:
    """Mean hidden states, float32 [B, D], of the real tokens of rows [B, T]; padding stands behind."""
    place = jnp.where(real, jnp.arange(tokens.shape[1], dtype=jnp.int32), 0)
    hidden = model.forward(config, params, tokens, place, dtype=jnp.dtype(dtype)).astype(jnp.float32)
    return jnp.where(real[..., None], hidden, 0).sum(axis=1) / jnp.maximum(real.sum(axis=1, keepdims=True), 1)


def similarity(one: np.ndarray, others: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Cosines [N] between a vector [D] and others [N, D], seen from a centre [D].

    Hidden states of any text share a large part; without it the cosines of all pairs would lie close to one.
    """
    one, others = one - centre, others - centre
    norms = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
    return others @ one / np.maximum(norms, np.finfo(np.float32).tiny)
