"""A base made longer by the rows of tokens that it lacks and a model tuned from it has.

The base knows nothing of these tokens. Their rows are the mean of its own, in the embedding and in the head: the logit
of such a token is the mean of the base's logits, so its probability is the geometric mean of those of the base's V
tokens, at most 1 / V and in practice far less, and never the greatest. Every divergence stays finite, and how large it
is at such a token is told by the base itself. It is also where `resize_token_embeddings` of transformers starts from
(Hewitt 2021, "Initializing New Word Embeddings"). A row of zeros would not do: its logit, 0, is the greatest wherever
all others are negative. The rows of a tied table are head and embedding at once, and so are their mean.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jaxshift.llama.config import LlamaConfig
from jaxshift.weights import names
from jaxshift.weights.loading import Weights

TABLES = ('embed_tokens', 'lm_head')
_ROWS = 1024  # that are read at once for the mean


class Padded:
    """Files whose embedding and head go on, behind their last row, with their mean.

    Attributes:
      weights: the files.
      config: of the longer model.
    """

    def __init__(self, weights: Weights, config: LlamaConfig):
        self.weights, self.config, self.scheme = weights, config, weights.scheme

    @functools.cached_property
    def tensors(self) -> dict[str, names.Tensor]:
        longer = {
            name: dataclasses.replace(tensor, shape=(self.config.vocab_size, *tensor.shape[1:]))
            for name, tensor in self.weights.tensors.items()
            if name in self._tables
        }
        return dict(self.weights.tensors) | longer

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """A part of a tensor, in the file's dtype."""
        if name not in self._tables:
            return self.weights.read(name, index)
        own = self.weights.tensors[name].shape[0]
        start, stop, _ = index[0].indices(self.config.vocab_size)
        parts = []
        if start < own:
            parts.append(self.weights.read(name, (slice(start, min(stop, own)), *index[1:])))
        if stop > own:
            mean = self._means[name][index[1]]
            parts.append(np.broadcast_to(mean, (stop - max(start, own), len(mean))))
        return np.concatenate(parts)

    @functools.cached_property
    def _tables(self) -> frozenset[str]:
        found = {row.name(self.scheme) for row in names.TABLE if row.path in TABLES}
        return frozenset(found & set(self.weights.tensors))

    @functools.cached_property
    def _means(self) -> dict[str, np.ndarray]:
        """[D] of each table, summed in float64."""
        means = {}
        for name in self._tables:
            tensor = self.weights.tensors[name]
            rows, width = tensor.shape
            total = np.zeros(width)
            for start in range(0, rows, _ROWS):
                part = (slice(start, min(start + _ROWS, rows)), slice(None))
                total += self.weights.read(name, part).sum(axis=0, dtype=np.float64)
            means[name] = (total / rows).astype(tensor.dtype)
        return means
