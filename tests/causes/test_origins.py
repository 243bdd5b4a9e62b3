"""How rows and words are seen by the base and its tokenizer."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from jaxshift.explain import borrowing, embedding


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


def test_similarity_is_the_cosine_seen_from_the_centre():
    one, others, centre = np.array([3.0, 1]), np.array([[3.0, 1], [-1, 1], [1, 3], [1, 1]]), np.array([1.0, 1])
    assert embedding.similarity(one, others, centre) == pytest.approx([1, -1, 0, 0])


def metaspace():
    """A tokenizer that, as Llama's, drops the space before the first word when it decodes."""
    words = ['▁a', '▁cat', 's', '▁un', 'likely', '.', '▁', 'a']
    backend = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], fuse_unk=True))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=backend), words


def test_pieces_keep_the_space_before_a_word():
    found, words = metaspace()
    assert found.decode([1]) == 'cat'
    pieces = borrowing.pieces(found, np.arange(6))
    assert [pieces[i] for i in range(6)] == [word.replace('▁', ' ') for word in words[:6]]


def test_pieces_of_a_tokenizer_of_words_have_a_space(tokenizer):
    pieces = borrowing.pieces(tokenizer, np.array([4, 8]))
    assert [pieces[4], pieces[8]] == [' capital', ' Paris']


def test_pieces_of_a_real_tokenizer_make_the_text(smollm2_source):
    text = ' However, the "un-likely" naïve answer:\n\n\tis 42.'
    ids = smollm2_source.tokenizer(text, add_special_tokens=False)['input_ids']
    pieces = borrowing.pieces(smollm2_source.tokenizer, np.unique(ids))
    assert ''.join(pieces[i] for i in ids) == text
