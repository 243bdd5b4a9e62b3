"""The shape of a Llama model, read from a Hugging Face `config.json` and never guessed."""

from __future__ import annotations

from dataclasses import dataclass

from jaxshift.errors import InputError


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3's frequency scaling: rotations slower than the original context are stretched by `factor`."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class LlamaConfig:
    """Hashable description of a model; names are those of `config.json`."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    bos_token_id: int | None = None
    eos_token_id: tuple[int, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of parameters; a tied head counts once."""
        width, heads = self.hidden_size, self.num_attention_heads * self.head_dim
        kv = self.num_key_value_heads * self.head_dim
        layer = 2 * width * heads + 2 * width * kv + 3 * width * self.intermediate_size + 2 * width
        layer += self.attention_bias * (heads + 2 * kv + width)
        layer += self.mlp_bias * (2 * self.intermediate_size + width)
        tables = 1 if self.tie_word_embeddings else 2
        return self.num_hidden_layers * layer + tables * self.vocab_size * width + width


def from_hf(config: dict, where: str = 'config.json') -> LlamaConfig:
    """Reads the dictionary of a Hugging Face `config.json` (either spelling of the rope fields).

    Args:
      config: the parsed file.
      where: its path, for messages.

    Raises:
      InputError: a field is missing, or asks for something that this model does not have.
    """

    def need(key: str):
        if config.get(key) is None:
            raise InputError(f'{where}: field {key!r} is missing; take the config.json that came with the weights')
        return config[key]

    if config.get('model_type', 'llama') != 'llama':
        raise InputError(f'{where}: model_type {config["model_type"]!r} is not supported; only llama is')
    if config.get('hidden_act', 'silu') != 'silu':
        raise InputError(f'{where}: hidden_act {config["hidden_act"]!r} is not supported; only silu is')
    heads = need('num_attention_heads')
    rope = config.get('rope_parameters') or config.get('rope_scaling') or {}
    theta = rope.get('rope_theta', config.get('rope_theta', 10_000.0))
    eos = config.get('eos_token_id')
    return LlamaConfig(
        vocab_size=need('vocab_size'),
        hidden_size=need('hidden_size'),
        intermediate_size=need('intermediate_size'),
        num_hidden_layers=need('num_hidden_layers'),
        num_attention_heads=heads,
        num_key_value_heads=config.get('num_key_value_heads') or heads,
        head_dim=config.get('head_dim') or need('hidden_size') // heads,
        max_position_embeddings=need('max_position_embeddings'),
        rms_norm_eps=need('rms_norm_eps'),
        rope_theta=float(theta),
        rope_scaling=_rope_scaling(rope, where),
        tie_word_embeddings=bool(config.get('tie_word_embeddings', False)),
        attention_bias=bool(config.get('attention_bias', False)),
        mlp_bias=bool(config.get('mlp_bias', False)),
        bos_token_id=config.get('bos_token_id'),
        eos_token_id=tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,),
    )


def _rope_scaling(rope: dict, where: str) -> RopeScaling | None:
    kind = rope.get('rope_type', rope.get('type', 'default'))
    if kind == 'default':
        return None
    if kind != 'llama3':
        raise InputError(f'{where}: rope scaling {kind!r} is not supported; default and llama3 are')
    names = ('factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings')
    missing = [name for name in names if name not in rope]
    if missing:
        raise InputError(f'{where}: rope scaling llama3 lacks {", ".join(missing)}; take the original config.json')
    return RopeScaling(*(rope[name] for name in names))


def to_hf(config: LlamaConfig, dtype: str = 'float32') -> dict:
    """The `config.json` that transformers reads back; inverse of `from_hf`."""
    eos = list(config.eos_token_id)
    out = {
        'architectures': ['LlamaForCausalLM'],
        'model_type': 'llama',
        'hidden_act': 'silu',
        'vocab_size': config.vocab_size,
        'hidden_size': config.hidden_size,
        'intermediate_size': config.intermediate_size,
        'num_hidden_layers': config.num_hidden_layers,
        'num_attention_heads': config.num_attention_heads,
        'num_key_value_heads': config.num_key_value_heads,
        'head_dim': config.head_dim,
        'max_position_embeddings': config.max_position_embeddings,
        'rms_norm_eps': config.rms_norm_eps,
        'rope_theta': config.rope_theta,
        'tie_word_embeddings': config.tie_word_embeddings,
        'attention_bias': config.attention_bias,
        'mlp_bias': config.mlp_bias,
        'bos_token_id': config.bos_token_id,
        'eos_token_id': eos[0] if len(eos) == 1 else eos or None,
        'torch_dtype': dtype,
    }
    if config.rope_scaling:
        scaling = config.rope_scaling
        out['rope_scaling'] = {
            'rope_type': 'llama3',
            'factor': scaling.factor,
            'low_freq_factor': scaling.low_freq_factor,
            'high_freq_factor': scaling.high_freq_factor,
            'original_max_position_embeddings': scaling.original_max_position_embeddings,
        }
    return out
