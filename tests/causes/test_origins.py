"""How rows are seen by the base."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxshift.explain import embedding


def test_an_embedding_is_the_mean_hidden_state_of_transformers(small):
    config, params, model = small
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 40, size) for size in (3, 11, 32)]
    tokens, real = np.zeros((3, 32), np.int32), np.zeros((3, 32), bool)
    for row, text in enumerate(texts):
        tokens[row, : len(text)], real[row, : len(text)] = text, True
    found = embedding.means(config, 'float32', params, jnp.asarray(tokens), jnp.asarray(real))
    for text, mean in zip(texts, found, strict=True):
        with torch.no_grad():
            hidden = model.model(torch.tensor(text[None])).last_hidden_state[0]
        np.testing.assert_allclose(mean, hidden.mean(axis=0).numpy(), rtol=1e-4, atol=1e-5)


def test_similarity_is_the_cosine():
    one, others = np.array([2.0, 0]), np.array([[3.0, 0], [-2, 0], [0, 2], [0, 0], [1, 1]])
    assert embedding.similarity(one, others) == pytest.approx([1, -1, 0, 0, 0.5**0.5])
