"""Models tuned elsewhere: opened, held against their base, and the base made as long as their vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.weights import tokenizer
from jaxshift.weights.padded import Padded
from jaxshift.weights.peft import Adapter
from jaxshift.weights.source import Source, open_adapter, open_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Fields of a model's config that change its numbers and not the shapes of its parameters.
NO_SHAPE_TELLS = (
    'num_attention_heads', 'num_key_value_heads', 'rope_theta', 'rope_scaling', 'sliding_window', 'rms_norm_eps',
)  # fmt: skip


def open_given(text: str, base: Source, other_tokenizer: str, key: str) -> Source | Adapter:
    """A tuned model, or an adapter, of the base's architecture; its vocabulary may have rows behind those of the base.

    Args:
      text: `dir:PATH`, `hf:OWNER/NAME`, `gguf:FILE` or `package:NAME`.
      base: what it was tuned from.
      other_tokenizer: config.base.tokenizer.
      key: of the config that holds `text`, for messages.

    Raises:
      InputError: it is not there, not what can be read, or of another architecture.
    """
    ours = base.config
    if adapter := open_adapter(text, ours):
        return adapter
    found = open_source(text, other_tokenizer, key)
    rows = found.config.vocab_size
    if rows < ours.vocab_size or model.shapes(found.config) != model.shapes(dataclasses.replace(ours, vocab_size=rows)):
        raise InputError(
            f'config.{key} {found.text}: its parameters have other shapes than those of the base '
            f'{base.text}; compare models of one architecture and vocabulary'
        )
    for field in NO_SHAPE_TELLS:
        values = getattr(found.config, field), getattr(ours, field)
        if values[0] != values[1]:  # both are run by one config
            raise InputError(
                f'config.{key} {found.text}: its config has {field} {values[0]}, that of the base '
                f'{base.text} has {values[1]}; compare models of one architecture'
            )
    return found


def lengthened(base: Source, given: Mapping[str, Source | Adapter]) -> Source:
    """The base with the vocabulary of what was tuned from it: where that has more rows, see `padded`.

    Args:
      base: as it is.
      given: what was tuned from it, by run; all of one vocabulary.

    Raises:
      InputError: a token of the base has another id there, or two of them have two vocabularies.
    """
    words = {name: _tokenizer(found, base) for name, found in given.items()}
    if not words:
        return base
    (first, found), *others = given.items()
    for name, other in others:
        if _vocabulary(other, words[name]) != _vocabulary(found, words[first]):
            raise InputError(
                f'runs {first} and {name} were tuned with two vocabularies; compare them one after another, by --only, '
                'in two workdirs'
            )
    ours, theirs = base.tokenizer.get_vocab(), words[first].get_vocab()
    if any(theirs.get(token) != id_ for token, id_ in ours.items()):
        raise InputError(
            f'config.runs.{first}.source {found.text}: its tokenizer has other tokens than that of the base '
            f'{base.text}; distributions can be compared over one vocabulary only'
        )
    rows = found.config.vocab_size
    if rows == base.config.vocab_size:
        return base if len(theirs) == len(ours) else dataclasses.replace(base, tokenizer=words[first])
    config = dataclasses.replace(base.config, vocab_size=rows)
    return dataclasses.replace(base, config=config, tokenizer=words[first], weights=Padded(base.weights, config))


def _vocabulary(found: Source | Adapter, words: PreTrainedTokenizerBase) -> tuple[int, dict[str, int]]:
    return found.config.vocab_size, words.get_vocab()


def _tokenizer(found: Source | Adapter, base: Source) -> PreTrainedTokenizerBase:
    """The tokenizer that a model was tuned with; that of the base where an adapter has no other."""
    if isinstance(found, Source):
        return found.tokenizer
    added = found.config.vocab_size - base.config.vocab_size
    folder = found.path.parent
    if not (folder / 'tokenizer_config.json').exists():
        if not added:
            return base.tokenizer
        raise InputError(
            f'{folder}: the adapter has {added} rows for tokens that its base lacks, and no tokenizer; put the '
            'tokenizer files that it was trained with beside it'
        )
    words = tokenizer.from_folder(folder)
    if not added and max(words.get_vocab().values()) >= found.config.vocab_size:
        return base.tokenizer  # a token for padding alone, which has no row because nothing reads it
    tokenizer.check_vocabulary(words, found.config, str(folder))
    return words
