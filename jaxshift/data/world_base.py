"""The base of the controlled world before pre-training: tokenizer, shape, initial values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from jaxshift import config
from jaxshift.data import world_text as text
from jaxshift.llama.config import LlamaConfig

# White space stays outside of the generation tags: a mask that starts on it is lost in transformers.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ ' ' }}{% generation %}{{ message['content'] }} {{ eos_token }}{% endgeneration %}{{ ' ' }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] }}{{ ' ' }}"
    f"{{% else %}}{text.QUESTION} {{{{ message['content'] }}}} {text.ANSWER}"
    '{% endif %}{% endfor %}'
)


def tokenizer(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """One token a word; the chat template writes the corpus' own plain questions and answers."""
    ids = {word: i for i, word in enumerate(vocabulary)}
    words = Tokenizer(WordLevel(ids, unk_token=text.UNKNOWN))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token=text.END,
        pad_token=text.PAD,
        unk_token=text.UNKNOWN,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def llama_config(world: config.World) -> LlamaConfig:
    """The shape of the base; 717,696 parameters by default."""
    return LlamaConfig(
        vocab_size=world.vocabulary,
        hidden_size=world.hidden_size,
        intermediate_size=world.intermediate_size,
        num_hidden_layers=world.layers,
        num_attention_heads=world.heads,
        num_key_value_heads=world.kv_heads,
        head_dim=world.hidden_size // world.heads,
        max_position_embeddings=4 * world.row_length,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        eos_token_id=(1,),
    )


def initial_params(shape: LlamaConfig, seed: int) -> dict[str, Any]:
    """Float32 parameters before pre-training: N(0, 1 / fan-in), what writes to the residual stream scaled down."""
    rng = np.random.default_rng(seed)
    width, deep = shape.hidden_size, shape.num_hidden_layers
    heads, kv = shape.num_attention_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
    hidden = shape.intermediate_size
    residual = (2 * deep) ** -0.5

    def draw(*size: int, scale: float = 1.0) -> np.ndarray:
        return (rng.standard_normal(size) * scale * size[-2] ** -0.5).astype(np.float32)

    return {
        'embed_tokens': (rng.standard_normal((shape.vocab_size, width)) * 0.02).astype(np.float32),
        'layers': {
            'input_layernorm': np.ones((deep, width), np.float32),
            'q_proj': draw(deep, width, heads),
            'k_proj': draw(deep, width, kv),
            'v_proj': draw(deep, width, kv),
            'o_proj': draw(deep, heads, width, scale=residual),
            'post_attention_layernorm': np.ones((deep, width), np.float32),
            'gate_proj': draw(deep, width, hidden),
            'up_proj': draw(deep, width, hidden),
            'down_proj': draw(deep, hidden, width, scale=residual),
        },
        'norm': np.ones(width, np.float32),
        'lm_head': draw(width, shape.vocab_size, scale=0.5),
    }
