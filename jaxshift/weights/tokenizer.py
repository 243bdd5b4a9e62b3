"""Tokenizers: those of a folder, and those that the fields of a GGUF file describe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from jaxshift.errors import InputError
from jaxshift.llama.config import LlamaConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from jaxshift.weights import gguf

_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r'| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)
_CONTROL, _USER_DEFINED = 3, 4  # llama.cpp's token types


def from_folder(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, by transformers, without network and without code from the folder.

    Raises:
      InputError: the folder has none that can be read.
    """
    from transformers import AutoTokenizer

    if not any((folder / name).exists() for name in ('tokenizer.json', 'tokenizer.model', 'tokenizer_config.json')):
        raise InputError(
            f'{folder}: no tokenizer.json; set base.tokenizer to dir:PATH or hf:OWNER/NAME of its tokenizer'
        )
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the backends raise whatever they like for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f'{folder}: its tokenizer cannot be read ({reason}); set base.tokenizer to another') from error


def from_gguf(file: gguf.File) -> PreTrainedTokenizerBase:
    """The byte-level BPE tokenizer that a GGUF file describes; can be saved with `save_pretrained`.

    Raises:
      InputError: the file's kind of tokenizer or pre-tokenizer is not known here.
    """
    from transformers import PreTrainedTokenizerFast

    kind, words = file.field('tokenizer.ggml.model'), file.field('tokenizer.ggml.pre')
    other = 'set base.tokenizer to dir:PATH or hf:OWNER/NAME of the original tokenizer'
    if kind != 'gpt2':
        raise InputError(
            f'{file.path}: tokenizer.ggml.model {kind!r} is not read, only gpt2 (byte-level BPE) is; {other}'
        )
    tokens = file.field('tokenizer.ggml.tokens')
    merges = [tuple(merge.split(' ')) for merge in file.field('tokenizer.ggml.merges', [])]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: id_ for id_, token in enumerate(tokens)},
            merges=merges,
            ignore_merges=words == 'llama-bpe',  # Llama 3 takes a word that is a token whole, merges or not
        )
    )
    tokenizer.pre_tokenizer = _pre_tokenizer(words, f'{file.path}: tokenizer.ggml.pre', other)
    tokenizer.decoder = decoders.ByteLevel()
    types = file.field('tokenizer.ggml.token_type', [])
    typed = list(zip(tokens, types, strict=False))
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t, k in typed if k == _CONTROL])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t, k in typed if k == _USER_DEFINED])
    roles = {'bos_token': 'bos', 'eos_token': 'eos', 'pad_token': 'padding', 'unk_token': 'unknown'}
    ids = {role: file.field(f'tokenizer.ggml.{name}_token_id') for role, name in roles.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        # llama.cpp's own default where the file does not say
        add_bos_token=file.field('tokenizer.ggml.add_bos_token', words == 'llama-bpe'),
        add_eos_token=file.field('tokenizer.ggml.add_eos_token', False),
        chat_template=file.field('tokenizer.chat_template'),
        clean_up_tokenization_spaces=False,
        model_max_length=file.config.max_position_embeddings,
        **{role: tokens[id_] for role, id_ in ids.items() if id_ is not None},
    )


def _pre_tokenizer(name: str | None, where: str, other: str) -> pre_tokenizers.PreTokenizer:
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name == 'gpt-2':
        return plain
    if name == 'smollm':
        # Digits stand alone before spaces are attached to words, as in SmolLM's own tokenizer.json and in llama.cpp.
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    if name == 'llama-bpe':
        split = pre_tokenizers.Split(Regex(_LLAMA3_WORDS), behavior='isolated')
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    raise InputError(f'{where} {name!r} is not known; smollm, gpt-2 and llama-bpe are; {other}')


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, config: LlamaConfig, where: str) -> None:
    """Fewer tokens than rows is a padded embedding; a token without a row belongs to another model.

    Raises:
      InputError: the greatest token id has no row in the embedding.
    """
    token, id_ = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if id_ >= config.vocab_size:
        raise InputError(
            f'{where}: vocabularies of tokenizer and model differ: token {token!r} has id {id_}, the model has '
            f'{config.vocab_size} rows; set base.tokenizer to the one the model was trained with'
        )
