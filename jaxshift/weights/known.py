"""Shapes of public models, from the config.json beside their weights: gated ones can be planned for without a token."""

from __future__ import annotations

from jaxshift.llama.config import Llama3Scaling, LlamaConfig


def _llama2(width: int, inner: int, layers: int, heads: int, kv_heads: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=32_000, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=128, max_position_embeddings=4096,
        rms_norm_eps=1e-5, rope_theta=1e4, bos_token_id=1, eos_token_id=(2,),
    )  # fmt: skip


def _llama3(width: int, inner: int, layers: int, heads: int, context: int = 8192) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128_256, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=8, head_dim=128, max_position_embeddings=context,
        rms_norm_eps=1e-5, rope_theta=5e5, bos_token_id=128_000, eos_token_id=(128_001,),
        rope_scaling=None if context == 8192 else Llama3Scaling(8.0, 1.0, 4.0, 8192),
    )  # fmt: skip


MISTRAL = LlamaConfig(
    vocab_size=32_000, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=8, head_dim=128, max_position_embeddings=32_768, rms_norm_eps=1e-5, rope_theta=1e4,
    bos_token_id=1, eos_token_id=(2,), model_type='mistral', sliding_window=4096,
)  # fmt: skip

CONFIGS = {
    'meta-llama/Llama-2-7b-hf': _llama2(4096, 11_008, 32, 32, 32),
    'meta-llama/Llama-2-13b-hf': _llama2(5120, 13_824, 40, 40, 40),
    'meta-llama/Llama-2-70b-hf': _llama2(8192, 28_672, 80, 64, 8),
    'mistralai/Mistral-7B-v0.1': MISTRAL,
    'meta-llama/Meta-Llama-3-8B': _llama3(4096, 14_336, 32, 32),
    'meta-llama/Meta-Llama-3-70B': _llama3(8192, 28_672, 80, 64),
    'meta-llama/Llama-3.1-8B': _llama3(4096, 14_336, 32, 32, 131_072),
    'meta-llama/Llama-3.1-70B': _llama3(8192, 28_672, 80, 64, 131_072),
}
