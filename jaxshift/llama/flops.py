"""Floating point operations of a model by formula, a multiplication and its addition counted as two.

Matrix products alone are counted, and attention, causal, as half of the square. What rematerialisation computes again
is no work of the model's and is counted apart (PaLM, Chowdhery et al. 2022, appendix B).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxshift.llama.config import LlamaConfig


def train(config: LlamaConfig, lengths: Sequence[int] | np.ndarray, targets: float, adapter: int | None) -> float:
    """FLOPs of one train step.

    A weight that is trained costs three products (forward, gradient of its input, its own gradient); one that is
    frozen below a trained adapter costs two.

    Args:
      config: shape of the model.
      lengths: [N] tokens of each example; examples do not attend to each other, and padding is no work.
      targets: positions whose loss is taken, which alone go through the head.
      adapter: numbers that a LoRA adapter trains; None: the parameters themselves are trained.
    """
    tokens, frozen = float(np.sum(lengths)), adapter is not None
    products = 2 if frozen else 3
    matrices = layers(config) * tokens + _head(config) * targets
    return 2 * products * matrices + 3 * attention(config, lengths) + 6 * (adapter or 0) * tokens


def recomputed(config: LlamaConfig, lengths: Sequence[int] | np.ndarray, remat: str) -> float:
    """FLOPs that the backward pass does once more, for a policy of `llama.model.Llama.remat`."""
    if remat != 'nothing_saveable':
        return 0.0
    return 2 * layers(config) * float(np.sum(lengths)) + attention(config, lengths)


def forward(config: LlamaConfig, lengths: Sequence[int] | np.ndarray, targets: float, adapter: int = 0) -> float:
    """FLOPs of a forward pass over sequences of the given lengths, `targets` of whose positions go through the head."""
    tokens = float(np.sum(lengths))
    matrices = (layers(config) + adapter) * tokens + _head(config) * targets
    return 2 * matrices + attention(config, lengths)


def decode(config: LlamaConfig, rows: int, cached: int, adapter: int = 0) -> float:
    """FLOPs of one more token for each of `rows` sequences that have `cached` tokens before it."""
    seen = min(cached, config.sliding_window or cached)
    each = 2 * (layers(config) + adapter + _head(config)) + 4 * _width(config) * seen
    return float(rows * each)


def attention(config: LlamaConfig, lengths: Sequence[int] | np.ndarray) -> float:
    """FLOPs of scores and weighted sums in a forward pass: 4 for each head's number, pair of positions and layer."""
    long = np.asarray(lengths, np.float64)
    seen = np.minimum(long, config.sliding_window or np.inf)
    pairs = float(np.sum(long * seen - seen**2 / 2))
    return 4 * _width(config) * pairs


def layers(config: LlamaConfig) -> int:
    """Numbers in the projections of all layers."""
    width, heads = config.hidden_size, config.num_attention_heads * config.head_dim
    kv = config.num_key_value_heads * config.head_dim
    return config.num_hidden_layers * (2 * width * heads + 2 * width * kv + 3 * width * config.intermediate_size)


def _head(config: LlamaConfig) -> int:
    return config.hidden_size * config.vocab_size


def _width(config: LlamaConfig) -> int:
    """Numbers of the queries of a position, over all layers."""
    return config.num_hidden_layers * config.num_attention_heads * config.head_dim
