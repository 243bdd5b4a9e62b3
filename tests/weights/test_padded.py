"""A base that is padded for the tokens of another vocabulary: its rows, its probabilities, its place on devices."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxshift.llama import model
from jaxshift.weights.loading import load
from jaxshift.weights.padded import Padded
from jaxshift.weights.source import open_source

TOKENS = np.random.default_rng(0).integers(0, 43, (2, 24))


@pytest.fixture(scope='module', params=[False, True], ids=['untied', 'tied'])
def padded(request, torch_llama, tokenizer, tmp_path_factory):
    """(source of a base of 40 rows, longer by 3; torch's model of 43 rows, resized by transformers)."""
    tied = request.param
    twin = torch_llama(tie_word_embeddings=tied)
    folder = tmp_path_factory.mktemp('base')
    twin.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    means = [table.weight.detach().double().mean(0) for table in (twin.get_input_embeddings(), twin.lm_head)]
    twin.resize_token_embeddings(43, mean_resizing=False)
    with torch.no_grad():
        for table, mean in zip((twin.get_input_embeddings(), twin.lm_head), means, strict=True):
            table.weight[40:] = mean.float()
    found = open_source(f'dir:{folder}')
    config = dataclasses.replace(found.config, vocab_size=43)
    return dataclasses.replace(found, config=config, weights=Padded(found.weights, config)), twin.eval()


def test_logits_are_those_of_a_model_that_transformers_has_resized_to_the_mean(padded):
    source, twin = padded
    params = source.load('float32')
    assert params['embed_tokens'].shape == (43, 64)
    ours = model.forward(source.config, params, jax.numpy.asarray(TOKENS)) @ model.head(params)
    with torch.no_grad():
        theirs = twin(torch.tensor(TOKENS)).logits.numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


def test_an_added_token_has_the_geometric_mean_probability_and_is_never_the_likeliest(padded):
    source, _ = padded
    params = source.load('float32')
    logits = np.asarray(
        model.forward(source.config, params, jax.numpy.asarray(TOKENS)) @ model.head(params), np.float64
    )
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(logprobs[..., 40:], np.repeat(logprobs[..., :40].mean(-1)[..., None], 3, -1), atol=1e-5)
    assert (logprobs[..., 40:] < -np.log(40)).all()
    assert (logits.argmax(-1) < 40).all()


@pytest.mark.parametrize('rows', [slice(0, 7), slice(36, 42), slice(40, 43), slice(42, 43), slice(None)])
def test_a_part_is_read_as_a_part_of_the_whole(padded, rows):
    weights = padded[0].weights
    for name in ('model.embed_tokens.weight', 'lm_head.weight'):
        if name in weights.tensors:
            whole = weights.read(name, (slice(None), slice(None)))
            assert whole.shape == weights.tensors[name].shape == (43, 64)
            part = weights.read(name, (rows, slice(3, 9)))
            np.testing.assert_array_equal(part, whole[rows, 3:9])
            assert part.dtype == weights.tensors[name].dtype


def test_pieces_onto_a_mesh_give_the_same_rows(padded, monkeypatch):
    source, _ = padded
    monkeypatch.setattr('jaxshift.weights.loading.IN_FLIGHT', 2048)
    mesh = jax.make_mesh((1,), ('fsdp',), axis_types=(AxisType.Auto,))
    shapes = model.shapes(source.config)
    places = jax.tree.map(lambda leaf: NamedSharding(mesh, P()), shapes)
    jax.tree.map(np.testing.assert_array_equal, load(source.weights, shapes, places), source.load('float32'))


def test_the_padded_base_has_a_fingerprint_of_its_own(padded):
    source, _ = padded
    short = dataclasses.replace(source.config, vocab_size=40)
    plain = dataclasses.replace(source, config=short, weights=source.weights.weights)
    assert plain.fingerprint != source.fingerprint
