"""The shape of a Llama model, read from a Hugging Face `config.json` and never guessed."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from jaxshift.errors import InputError
from jaxshift.llama.fields import FIX, Fields

_ARCHITECTURES = {'llama': 'LlamaForCausalLM', 'mistral': 'MistralForCausalLM'}


@dataclass(frozen=True)
class LinearScaling:
    """Position interpolation (Chen et al. 2023): every rotation is `factor` times as slow."""

    factor: float


@dataclass(frozen=True)
class DynamicScaling:
    """Dynamic NTK: theta grows with the length of the sequence beyond the original one."""

    factor: float
    original_max_position_embeddings: int  # max_position_embeddings of config.json


@dataclass(frozen=True)
class Llama3Scaling:
    """Llama 3's frequency scaling: rotations slower than the original context are stretched by `factor`."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


RopeScaling = LinearScaling | DynamicScaling | Llama3Scaling


@dataclass(frozen=True)
class LlamaConfig:
    """Hashable description of a model; names are those of `config.json`.

    A position of a model with a `sliding_window` attends to itself and to the sliding_window - 1 positions before it.
    """

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
    model_type: str = 'llama'
    sliding_window: int | None = None

    @property
    def context(self) -> int:
        """Tokens a sequence may have.

        Linear and dynamic scaling stretch what `max_position_embeddings` says by their factor, as in vLLM; where Llama
        3's scaling is used it says the scaled length already.
        """
        match self.rope_scaling:
            case LinearScaling(factor) | DynamicScaling(factor):
                return int(self.max_position_embeddings * factor)
        return self.max_position_embeddings

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
      InputError: a field is missing, is not what it should be, or asks for what this model does not have.
    """
    kind = config.get('model_type', 'llama')
    if kind not in _ARCHITECTURES:
        raise InputError(f'{where}: model_type {kind!r} is not supported; llama and mistral are')
    if config.get('hidden_act', 'silu') != 'silu':
        raise InputError(f'{where}: hidden_act {config["hidden_act"]!r} is not supported; only silu is')
    fields = Fields(config, where)
    width, heads = fields.size('hidden_size'), fields.size('num_attention_heads')
    # Where a Llama does not say, every head has its own keys; transformers gives a Mistral some number of its own.
    kv_heads = fields.size('num_key_value_heads', heads if kind == 'llama' else None)
    if heads % kv_heads:
        raise fields.wrong('num_key_value_heads', f'a divisor of num_attention_heads, {heads}')
    if config.get('head_dim') is None and width % heads:
        raise fields.wrong('hidden_size', f'a multiple of num_attention_heads, {heads}, where there is no head_dim')
    head_dim = fields.size('head_dim', width // heads)
    if head_dim % 2:
        raise InputError(f'{where}: heads are {head_dim} wide; rotary embeddings need an even width; {FIX}')
    bos = fields.ids('bos_token_id')
    if len(bos) > 1:
        raise fields.wrong('bos_token_id', 'one token id')
    rope = fields.rope()
    theta = rope if 'rope_theta' in rope.values else fields
    context = fields.size('max_position_embeddings')
    scaling = _rope_scaling(rope, context)
    if isinstance(scaling, DynamicScaling) and head_dim == 2:
        raise InputError(f'{where}: dynamic rope scaling needs heads wider than 2; {FIX}')
    return LlamaConfig(
        vocab_size=fields.size('vocab_size'),
        hidden_size=width,
        intermediate_size=fields.size('intermediate_size'),
        num_hidden_layers=fields.size('num_hidden_layers'),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        max_position_embeddings=context,
        rms_norm_eps=fields.number('rms_norm_eps'),
        rope_theta=theta.number('rope_theta', 10_000.0),
        rope_scaling=scaling,
        tie_word_embeddings=fields.flag('tie_word_embeddings'),
        attention_bias=fields.flag('attention_bias'),
        mlp_bias=fields.flag('mlp_bias'),
        bos_token_id=bos[0] if bos else None,
        eos_token_id=fields.ids('eos_token_id'),
        model_type=kind,
        sliding_window=_sliding_window(fields) if kind == 'mistral' else None,
    )


def _rope_scaling(rope: Fields, context: int) -> RopeScaling | None:
    kind = rope.values.get('rope_type', rope.values.get('type', 'default'))
    if kind == 'default':
        return None
    if kind == 'linear':
        return LinearScaling(rope.number('factor'))
    if kind == 'dynamic':
        return DynamicScaling(rope.number('factor'), context)
    if kind != 'llama3':
        raise InputError(
            f'{rope.where}: rope scaling {kind!r} is not supported; default, linear, dynamic and llama3 are'
        )
    low, high = rope.number('low_freq_factor'), rope.number('high_freq_factor')
    if not low < high:
        raise rope.wrong('high_freq_factor', f'above low_freq_factor, {low}')
    return Llama3Scaling(rope.number('factor'), low, high, rope.size('original_max_position_embeddings'))


def _sliding_window(fields: Fields) -> int | None:
    if 'sliding_window' in fields.values and fields.values['sliding_window'] is None:  # from v0.2 on
        return None
    return fields.size('sliding_window')


def to_hf(config: LlamaConfig, dtype: str = 'float32') -> dict:
    """The `config.json` that transformers reads back; inverse of `from_hf`."""
    eos = list(config.eos_token_id)
    out = {
        'architectures': [_ARCHITECTURES[config.model_type]],
        'model_type': config.model_type,
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
    if config.model_type == 'mistral':
        out['sliding_window'] = config.sliding_window
    match config.rope_scaling:
        case LinearScaling(factor):
            out['rope_scaling'] = {'rope_type': 'linear', 'factor': factor}
        case DynamicScaling(factor):
            out['rope_scaling'] = {'rope_type': 'dynamic', 'factor': factor}
        case Llama3Scaling():
            out['rope_scaling'] = {'rope_type': 'llama3', **asdict(config.rope_scaling)}
    return out
