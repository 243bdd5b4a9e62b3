"""The base of the controlled world before pre-training: its tokens, its chat template, its shape."""

import jax
import numpy as np
import pytest

from jaxshift import config
from jaxshift.data import formats, template, world, world_base, world_text
from jaxshift.llama import model

WORLD = config.World(documents=2000)
BOOK = world.generate(WORLD)


def test_every_word_is_one_token_and_comes_back():
    words = world_base.tokenizer(BOOK.vocabulary)
    assert len(words) == len(set(BOOK.vocabulary)) == WORLD.vocabulary == 640
    for text in (*BOOK.documents[:200], *(record['output'] for record in BOOK.instructions)):
        ids = words(text)['input_ids']
        assert words.unk_token_id not in ids
        assert [BOOK.vocabulary[i] for i in ids] == text.split()
        assert words.decode(ids) == text
    assert set(' '.join(BOOK.documents).split()) < set(BOOK.vocabulary)


def test_tokenizer_survives_saving(tmp_path):
    words = world_base.tokenizer(BOOK.vocabulary)
    words.save_pretrained(tmp_path)
    again = type(words).from_pretrained(tmp_path)
    assert again.decode(again(BOOK.documents[0])['input_ids']) == BOOK.documents[0]
    assert again.chat_template == words.chat_template


def test_prompts_training_and_corpus_write_a_question_with_the_same_ids():
    words = world_base.tokenizer(BOOK.vocabulary)
    chosen = template.choose(words, 'auto')
    document = next(text for text in BOOK.documents if text.startswith(world_text.QUESTION))
    question, answer = document.removeprefix(f'{world_text.QUESTION} ').split(f' {world_text.ANSWER} ')
    turns = (formats.Message('user', question), formats.Message('assistant', answer))
    prompt = chosen.prompt_ids(turns[:1])
    ids, trained = chosen.example(turns)
    assert ids == words(document)['input_ids'] + [words.eos_token_id]
    assert ids[: len(prompt)] == prompt
    assert trained == [False] * len(prompt) + [True] * (len(ids) - len(prompt))
    assert chosen.stop_ids == (words.eos_token_id,) == world_base.llama_config(WORLD).eos_token_id
    assert [BOOK.vocabulary[i] for i in prompt[-2:]] == world_text.ANSWER.split()


def test_chat_template_masks_the_answer_in_transformers_too():
    words = world_base.tokenizer(BOOK.vocabulary)
    turns = [
        {'role': 'user', 'content': BOOK.instructions[0]['instruction']},
        {'role': 'assistant', 'content': BOOK.instructions[0]['output']},
    ]
    rendered = words.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    trained = [i for i, mask in zip(rendered['input_ids'], rendered['assistant_masks'], strict=True) if mask]
    assert words.decode(trained) == BOOK.instructions[0]['output'] + f' {world_text.END}'


def test_base_has_the_recipes_parameters_and_the_models_shapes():
    shape = world_base.llama_config(WORLD)
    params = world_base.initial_params(shape, seed=0)
    described = model.shapes(shape)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params) == jax.tree.map(
        lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), described
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == shape.parameters == 717_696


def test_initial_values_have_the_recipes_scales():
    params = world_base.initial_params(world_base.llama_config(WORLD), seed=0)
    scales = {'q_proj': 128**-0.5, 'up_proj': 128**-0.5, 'o_proj': (128 * 6) ** -0.5, 'down_proj': (352 * 6) ** -0.5}
    for name, scale in scales.items():
        assert params['layers'][name].std() == pytest.approx(scale, rel=0.02)
    assert params['embed_tokens'].std() == pytest.approx(0.02, rel=0.02)
    assert params['lm_head'].std() == pytest.approx(0.5 * 128**-0.5, rel=0.02)
