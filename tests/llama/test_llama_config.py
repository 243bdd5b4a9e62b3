import pytest
import transformers

from jaxshift.errors import InputError
from jaxshift.llama.config import RopeScaling, from_hf, to_hf

LLAMA_3 = {'factor': 32.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, 'original_max_position_embeddings': 8192}
PLAIN = {
    'model_type': 'llama',
    'vocab_size': 100,
    'hidden_size': 64,
    'intermediate_size': 96,
    'num_hidden_layers': 2,
    'num_attention_heads': 4,
    'max_position_embeddings': 128,
    'rms_norm_eps': 1e-6,
}


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'num_key_value_heads': 2, 'head_dim': 24, 'attention_bias': True, 'mlp_bias': True},
        {'tie_word_embeddings': True, 'rope_theta': 5e5, 'eos_token_id': [2, 7], 'bos_token_id': 1},
        {'rope_theta': 5e5, 'rope_scaling': LLAMA_3 | {'rope_type': 'llama3'}},
    ],
)
def test_what_we_write_transformers_and_we_read_as_the_same_model(changes):
    config = from_hf(PLAIN | changes)
    written = to_hf(config)
    assert from_hf(written) == config
    theirs = transformers.LlamaConfig(**written)
    assert from_hf(theirs.to_dict()) == config


def test_both_spellings_of_the_scaling_are_read():
    old = PLAIN | {'rope_theta': 5e5, 'rope_scaling': LLAMA_3 | {'type': 'llama3'}}
    new = PLAIN | {'rope_parameters': LLAMA_3 | {'rope_type': 'llama3', 'rope_theta': 5e5}}
    assert from_hf(old) == from_hf(new)
    assert from_hf(new).rope_theta == 5e5
    assert from_hf(new).rope_scaling == RopeScaling(32.0, 1.0, 4.0, 8192)


@pytest.mark.parametrize('field', ['vocab_size', 'rms_norm_eps', 'num_attention_heads', 'max_position_embeddings'])
def test_a_missing_field_is_named_not_guessed(field):
    with pytest.raises(InputError, match=f"a/config.json: field '{field}' is missing"):
        from_hf({key: value for key, value in PLAIN.items() if key != field}, 'a/config.json')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model_type': 'qwen2'}, "model_type 'qwen2' is not supported; only llama is"),
        ({'hidden_act': 'gelu'}, "hidden_act 'gelu' is not supported"),
        ({'rope_scaling': {'rope_type': 'yarn', 'factor': 4.0}}, "rope scaling 'yarn' is not supported"),
        ({'rope_scaling': {'rope_type': 'llama3', 'factor': 8.0}}, 'llama3 lacks low_freq_factor, high_freq_factor'),
    ],
)
def test_what_the_model_does_not_have_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        from_hf(PLAIN | changes)
