import re

import pytest
import transformers

from jaxshift.errors import InputError
from jaxshift.llama.config import DynamicScaling, LinearScaling, Llama3Scaling, from_hf, to_hf

LLAMA_3 = {'factor': 32.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, 'original_max_position_embeddings': 8192}
MISTRAL = {'model_type': 'mistral', 'num_key_value_heads': 2, 'sliding_window': 4096}
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
        {'rope_scaling': {'rope_type': 'linear', 'factor': 2.5}},
        {'rope_theta': 5e5, 'rope_scaling': {'rope_type': 'dynamic', 'factor': 4.0}},
        MISTRAL,
        MISTRAL | {'sliding_window': None, 'rope_theta': 1e6},
    ],
)
def test_what_we_write_transformers_and_we_read_as_the_same_model(changes):
    config = from_hf(PLAIN | changes)
    written = to_hf(config)
    assert from_hf(written) == config
    theirs = transformers.AutoConfig.for_model(**written)
    assert from_hf(theirs.to_dict()) == config


def test_both_spellings_of_the_scaling_are_read():
    old = PLAIN | {'rope_theta': 5e5, 'rope_scaling': LLAMA_3 | {'type': 'llama3'}}
    new = PLAIN | {'rope_parameters': LLAMA_3 | {'rope_type': 'llama3', 'rope_theta': 5e5}}
    assert from_hf(old) == from_hf(new)
    assert from_hf(new).rope_theta == 5e5
    assert from_hf(new).rope_scaling == Llama3Scaling(32.0, 1.0, 4.0, 8192)


@pytest.mark.parametrize(('kind', 'made'), [('linear', LinearScaling(4.0)), ('dynamic', DynamicScaling(4.0, 128))])
def test_a_scaling_of_one_factor_is_read_from_both_spellings(kind, made):
    old = PLAIN | {'rope_theta': 5e5, 'rope_scaling': {'type': kind, 'factor': 4}}
    new = PLAIN | {'rope_parameters': {'rope_type': kind, 'factor': 4.0, 'rope_theta': 5e5}}
    assert from_hf(old).rope_scaling == from_hf(new).rope_scaling == made
    assert from_hf(old) == from_hf(new)


def test_mistral_has_the_window_that_its_config_says_and_a_llama_none():
    first, later = from_hf(PLAIN | MISTRAL), from_hf(PLAIN | MISTRAL | {'sliding_window': None})
    assert (first.sliding_window, later.sliding_window) == (4096, None)
    assert to_hf(first)['architectures'] == to_hf(later)['architectures'] == ['MistralForCausalLM']
    assert from_hf(PLAIN | {'sliding_window': 8}).sliding_window is None  # as in transformers


@pytest.mark.parametrize(
    ('scaling', 'context'),
    [
        (None, 128),
        ({'rope_type': 'linear', 'factor': 4.0}, 512),
        ({'rope_type': 'dynamic', 'factor': 2.5}, 320),
        ({'rope_type': 'llama3', **LLAMA_3}, 128),
    ],
)
def test_linear_and_dynamic_scaling_make_the_context_longer(scaling, context):
    assert from_hf(PLAIN | {'rope_scaling': scaling}).context == context


@pytest.mark.parametrize('field', ['vocab_size', 'rms_norm_eps', 'num_attention_heads', 'max_position_embeddings'])
def test_a_missing_field_is_named_not_guessed(field):
    with pytest.raises(InputError, match=f"a/config.json: field '{field}' is missing"):
        from_hf({key: value for key, value in PLAIN.items() if key != field}, 'a/config.json')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model_type': 'qwen2'}, "model_type 'qwen2' is not supported; llama and mistral are"),
        ({'hidden_act': 'gelu'}, "hidden_act 'gelu' is not supported"),
        ({'rope_scaling': {'rope_type': 'yarn', 'factor': 4.0}}, "rope scaling 'yarn' is not supported"),
        ({'rope_parameters': {'rope_type': 'longrope'}}, "rope scaling 'longrope' is not supported; default, linear"),
        ({'head_dim': 2, 'rope_scaling': {'type': 'dynamic', 'factor': 2}}, 'needs heads wider than 2'),
    ],
)
def test_what_the_model_does_not_have_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        from_hf(PLAIN | changes)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'hidden_size': '64'}, "field 'hidden_size' is '64'; it must be a whole number above 0"),
        ({'vocab_size': 100.0}, "field 'vocab_size' is 100.0; it must be a whole number above 0"),
        ({'num_hidden_layers': 0}, "field 'num_hidden_layers' is 0; it must be a whole number above 0"),
        ({'num_attention_heads': True}, "field 'num_attention_heads' is True; it must be a whole number above 0"),
        ({'num_key_value_heads': 0}, "field 'num_key_value_heads' is 0; it must be a whole number above 0"),
        ({'num_key_value_heads': 3}, "field 'num_key_value_heads' is 3; it must be a divisor of num_attention_heads"),
        ({'hidden_size': 66}, "field 'hidden_size' is 66; it must be a multiple of num_attention_heads, 4, where"),
        ({'hidden_size': 60}, 'heads are 15 wide; rotary embeddings need an even width'),
        ({'head_dim': -16}, "field 'head_dim' is -16; it must be a whole number above 0"),
        ({'rms_norm_eps': '1e-6'}, "field 'rms_norm_eps' is '1e-6'; it must be a number above 0"),
        ({'rms_norm_eps': float('nan')}, "field 'rms_norm_eps' is nan; it must be a number above 0"),
        ({'rope_theta': 0}, "field 'rope_theta' is 0; it must be a number above 0"),
        ({'rope_parameters': {'rope_theta': 'x'}}, "rope_parameters: field 'rope_theta' is 'x'; it must be a number"),
        ({'rope_scaling': 'llama3'}, "field 'rope_scaling' is 'llama3'; it must be an object"),
        ({'rope_scaling': {'rope_type': 'llama3', 'factor': 8.0}}, "rope_scaling: field 'low_freq_factor' is missing"),
        (
            {'rope_scaling': LLAMA_3 | {'rope_type': 'llama3', 'high_freq_factor': 1.0}},
            "rope_scaling: field 'high_freq_factor' is 1.0; it must be above low_freq_factor, 1.0",
        ),
        ({'rope_scaling': {'type': 'linear'}}, "rope_scaling: field 'factor' is missing"),
        (MISTRAL | {'sliding_window': 0}, "field 'sliding_window' is 0; it must be a whole number above 0"),
        ({'model_type': 'mistral', 'num_key_value_heads': 2}, "field 'sliding_window' is missing"),
        ({'model_type': 'mistral', 'sliding_window': None}, "field 'num_key_value_heads' is missing"),
        ({'tie_word_embeddings': 'false'}, "field 'tie_word_embeddings' is 'false'; it must be true or false"),
        ({'eos_token_id': ['</s>']}, "field 'eos_token_id' is ['</s>']; it must be a token id or a list of them"),
        ({'bos_token_id': [1, 2]}, "field 'bos_token_id' is [1, 2]; it must be one token id"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_file_and_value(changes, said):
    with pytest.raises(InputError, match=re.escape(f'a/config.json: {said}')):
        from_hf(PLAIN | changes, 'a/config.json')


def test_a_head_may_be_wider_than_its_share_of_the_model():
    assert from_hf(PLAIN | {'hidden_size': 66, 'head_dim': 16}).head_dim == 16
