"""Texts as vectors: the mean of the base's hidden states, or what a sentence-transformers model makes of them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift.data.batches import bucket
from jaxshift.devices import mesh as meshes
from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.store import manifest
from jaxshift.study import Study

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

KEY = 'config.causes.borrowing_encoder'


def embed(study: Study, texts: Sequence[np.ndarray]) -> np.ndarray:
    """Vectors whose cosines say how alike texts of token ids are: float32 [texts, D].

    Hidden states of any text share a large part, with which the cosines of all pairs would lie close to one; so these
    are seen from their mean. A model of `causes.borrowing_encoder` is made for cosines, and cuts texts as it was told.

    Raises:
      InputError: there is no such model.
    """
    if name := study.experiment.causes.borrowing_encoder:
        said = study.tokenizer.batch_decode(texts, skip_special_tokens=True)
        return np.asarray(_encoder(name).encode(list(said), show_progress_bar=False), np.float32)
    vectors = mean_hidden(study, texts)
    return vectors - vectors.mean(axis=0)


def fingerprint(name: str) -> dict:
    """Of the files of an encoder where it is a folder.

    Raises:
      InputError: sentence-transformers is not installed.
    """
    if name and importlib.util.find_spec('sentence_transformers') is None:
        raise InputError(f"{KEY} needs sentence-transformers: pip install 'jaxshift[sentences]'")
    folder = Path(name)
    files = [path for path in folder.rglob('*') if path.is_file()] if name and folder.is_dir() else []
    return manifest.digests(folder, files)


@functools.cache
def _encoder(name: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    try:
        # Beside jax there is no room on an accelerator, and there are few texts.
        return SentenceTransformer(name, device='cpu')
    except Exception as error:  # each kind of file, and the hub, has errors of its own
        raise InputError(
            f'{KEY}: {name} cannot be loaded ({type(error).__name__}); give the name or folder of a '
            'sentence-transformers model'
        ) from error


def mean_hidden(study: Study, texts: Sequence[np.ndarray]) -> np.ndarray:
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


def similarity(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosines [N] between a vector [D] and others [N, D]."""
    norms = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
    return others @ one / np.maximum(norms, np.finfo(np.float32).tiny)
