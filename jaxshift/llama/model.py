"""Llama (Touvron et al. 2023) in Flax Linen, as a pure function of a plain dict tree of parameters.

Linen, not NNX: parameters are an argument, which is what a functional parameter merge means, and the lazy leaves of
`llama/linear.py` pass through `nn.scan` untouched. Layers are stacked: every leaf below `layers` is [L, ...].
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxshift.devices.sharding import RESIDUAL, constrain
from jaxshift.llama import attention, quantised, rope
from jaxshift.llama.cache import Cache
from jaxshift.llama.config import LlamaConfig
from jaxshift.llama.embedding import look_up
from jaxshift.llama.linear import dot

REMAT = {
    'nothing_saveable': jax.checkpoint_policies.nothing_saveable,
    'dots_saveable': jax.checkpoint_policies.dots_saveable,
}


class Block(nn.Module):
    """One transformer layer. Its carry is the residual stream [..., B, T, D] and, when decoding, the cache."""

    config: LlamaConfig

    @nn.compact
    def __call__(self, carry, layer, cos, sin, segments):
        x, cache = carry
        attended, cache = self._attend(self._norm('input_layernorm', x), cache, layer, cos, sin, segments)
        x = constrain(x + attended, RESIDUAL)
        x = x + self._feed_forward(self._norm('post_attention_layernorm', x))
        return (constrain(x, RESIDUAL), cache), None

    def _attend(self, x, cache, layer, cos, sin, segments):
        config = self.config
        bias, size = config.attention_bias, config.head_dim
        wide, narrow = config.num_attention_heads * size, config.num_key_value_heads * size
        heads = lambda y: y.reshape(*y.shape[:-1], -1, size)  # noqa: E731
        q = rope.rotate(heads(self._project('q_proj', x, wide, bias)), cos, sin)
        k = rope.rotate(heads(self._project('k_proj', x, narrow, bias)), cos, sin)
        v = heads(self._project('v_proj', x, narrow, bias))
        if cache is not None:
            cache = Cache(
                k=jax.lax.dynamic_update_slice(cache.k, k[None], (layer, 0, cache.filled, 0, 0)),
                v=jax.lax.dynamic_update_slice(cache.v, v[None], (layer, 0, cache.filled, 0, 0)),
                valid=cache.valid,
                filled=cache.filled,
            )
        if cache is not None and q.shape[1] == 1:
            out = attention.cached(
                q, cache.k[layer], cache.v[layer], cache.valid, newest=cache.filled, window=config.sliding_window
            )
        else:  # a prompt fills an empty cache, so it sees nothing but itself
            out = attention.causal(q, k, v, segments, config.sliding_window)
        return self._project('o_proj', out.reshape(*out.shape[:-2], wide), config.hidden_size, bias), cache

    def _feed_forward(self, x):
        inner, bias = self.config.intermediate_size, self.config.mlp_bias
        gated = nn.silu(self._project('gate_proj', x, inner, bias)) * self._project('up_proj', x, inner, bias)
        return self._project('down_proj', gated, self.config.hidden_size, bias)

    def _project(self, name, x, features, bias):
        w = self.param(name, nn.initializers.lecun_normal(), (x.shape[-1], features))
        y = dot(x, quantised.gathered(w, f'layers/{name}'))
        if bias:
            y = y + self.param(f'{name}_bias', nn.initializers.zeros, (features,)).astype(y.dtype)
        return y

    def _norm(self, name, x):
        return rms_norm(x, self.param(name, nn.initializers.ones, (x.shape[-1],)), self.config.rms_norm_eps)


class Llama(nn.Module):
    """Tokens to the hidden states that the head reads.

    Attributes:
      config: shape of the model.
      dtype: dtype of activations; weights are cast to it where they are used.
      remat: what a layer keeps for the backward pass: 'none' (everything) or a name in `REMAT`.
      paired: the residual stream is [2, B, T, D], base first, tuned second (see `llama.linear.LoRA`).
      packed: segments are kept apart; else a row is one segment with padding behind it, which causality hides.
    """

    config: LlamaConfig
    dtype: jnp.dtype = jnp.float32
    remat: str = 'none'
    paired: bool = False
    packed: bool = True

    @nn.compact
    def __call__(self, tokens, positions, segments, cache=None, noise=None):
        config = self.config
        embedding = self.param('embed_tokens', nn.initializers.normal(0.02), (config.vocab_size, config.hidden_size))
        if not config.tie_word_embeddings:
            self.param('lm_head', nn.initializers.lecun_normal(), (config.hidden_size, config.vocab_size))
        x = look_up(embedding, tokens).astype(self.dtype)
        if noise is not None:
            x = x + noise.astype(self.dtype)
        if self.paired:
            x = jnp.broadcast_to(x, (2, *x.shape))
        cos, sin = rope.angles(config, positions, segments)
        block = Block
        if self.remat != 'none':
            block = nn.remat(Block, prevent_cse=False, policy=REMAT[self.remat])
        layers = nn.scan(
            block,
            variable_axes={'params': 0},
            split_rngs={'params': True},
            in_axes=(0, nn.broadcast, nn.broadcast, nn.broadcast),
            length=config.num_hidden_layers,
        )(config, name='layers')
        apart = segments if self.packed else None
        (x, cache), _ = layers((x, cache), jnp.arange(config.num_hidden_layers), cos, sin, apart)
        norm = self.param('norm', nn.initializers.ones, (config.hidden_size,))
        return constrain(rms_norm(x, norm, config.rms_norm_eps), RESIDUAL), cache


def rms_norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
    """Root-mean-square norm (Zhang & Sennrich 2019), computed in float32 and returned in x's dtype."""
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + epsilon)
    return wide.astype(x.dtype) * weight.astype(x.dtype)


def forward(
    config: LlamaConfig,
    params: dict,
    tokens: jax.Array,
    positions: jax.Array | None = None,
    segments: jax.Array | None = None,
    *,
    dtype=jnp.float32,
    remat: str = 'none',
    paired: bool = False,
    packed: bool = True,
    noise: jax.Array | None = None,
) -> jax.Array:
    """Hidden states after the final norm.

    Args:
      config: shape of the model.
      params: tree as `shapes` describes it; projections may be lazy leaves.
      tokens: [B, T] int32.
      positions: [B, T] int32 for the rotary embedding; None counts from 0.
      segments: [B, T] int32, packed examples of a row; None: one a row.
      dtype: dtype of activations.
      remat: see `Llama`.
      paired: see `Llama`; params must come from `tune.lora.merge(..., paired=True)`.
      packed: see `Llama`; without segments it makes no difference.
      noise: [B, T, D] that is added to the embeddings while training, or None.

    Returns:
      [B, T, D], or [2, B, T, D] when paired, in `dtype`. Logits are `hidden @ head(params)`.
    """
    if positions is None:
        positions = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
    model = Llama(config, dtype, remat, paired, packed)
    return model.apply({'params': params}, tokens, positions, segments, noise=noise)[0]


def extend(
    config: LlamaConfig, params: dict, tokens: jax.Array, valid: jax.Array, cache: Cache, *, dtype=jnp.float32
) -> tuple[jax.Array, Cache]:
    """Runs new positions and adds them to the cache: the whole prompt into an empty one, then one at a time.

    Args:
      config: shape of the model.
      params: tree of parameters.
      tokens: [B, T] int32; T > 1 only while the cache is empty.
      valid: [B, T] bool, False for padding, which stands before a prompt.
      cache: where keys and values go; must have T free slots.
      dtype: dtype of activations.

    Returns:
      Hidden states [B, T, D] and the longer cache.
    """
    seen = jax.lax.dynamic_update_slice(cache.valid, valid, (0, cache.filled))
    before = cache.valid.sum(axis=1, keepdims=True)
    positions = before + jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1
    cache = Cache(k=cache.k, v=cache.v, valid=seen, filled=cache.filled)
    model = Llama(config, dtype)
    longer: Any  # apply is typed as if it returned a tree of variables
    hidden, longer = model.apply({'params': params}, tokens, positions, valid.astype(jnp.int32), cache)
    return hidden, Cache(k=longer.k, v=longer.v, valid=seen, filled=longer.filled + tokens.shape[1])


def head(params: dict) -> jax.Array:
    """The output projection [D, V]; a tied one is the embedding transposed."""
    return params['lm_head'] if 'lm_head' in params else params['embed_tokens'].T


def shapes(config: LlamaConfig, dtype=jnp.float32) -> dict:
    """The one abstract description of the parameters: a tree of `jax.ShapeDtypeStruct`."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), _traced(config))


@functools.cache  # a start asks a dozen times, and each time the whole model would be traced
def _traced(config: LlamaConfig) -> dict:
    return jax.eval_shape(functools.partial(init, config), jax.random.key(0))


def init(config: LlamaConfig, key: jax.Array) -> dict:
    """Random float32 parameters."""
    token = jnp.zeros((1, 1), jnp.int32)
    return Llama(config).init(key, token, token, token)['params']
