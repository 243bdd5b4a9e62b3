"""Tokens as text: what each adds to the text that it stands in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby, pairwise

from transformers import PreTrainedTokenizerBase

_CUT = '\ufffd'  # what bytes that make no character are decoded to


def reader(tokenizer: PreTrainedTokenizerBase) -> Callable[[Sequence[int]], list[str]]:
    """Gives the text that each token of a text begins; joined they are the text.

    Byte-level BPE may divide a character among tokens. It is given to the first of them, and a token that only goes on
    with it has ''. A text is read behind a letter: SentencePiece decodes the first token without the space before it.
    """
    letter = tokenizer('a', add_special_tokens=False)['input_ids'][-1:]

    def decoded(ids: Sequence[int]) -> str:
        return str(tokenizer.decode([*letter, *ids], clean_up_tokenization_spaces=False))

    before = decoded([])

    @cache
    def alone(token: int) -> str:
        return decoded([token]).removeprefix(before)

    def divided(ids: Sequence[int]) -> list[str]:
        """Of tokens none of which is whole characters alone, so that no character reaches over their ends."""
        found: list[str] = []
        texts: list[str] = []
        for end in range(1, len(ids) + 1):
            texts.append(decoded(ids[len(found) : end]).removeprefix(before))
            if not texts[-1].endswith(_CUT):
                found += _begun(texts)
                texts = []
        return found + (_begun(texts) if texts else [])

    def pieces(ids: Sequence[int]) -> list[str]:
        runs = groupby(ids, key=lambda token: _CUT in alone(token))
        return [piece for cut, run in runs for piece in (divided(list(run)) if cut else map(alone, run))]

    return pieces


def _begun(texts: Sequence[str]) -> list[str]:
    """What each token begins of the last text, where `texts` are those up to and with each token."""
    ends = [len(whole := text.rstrip(_CUT)) + (whole != text) for text in texts]
    return [texts[-1][start:end] for start, end in pairwise([0, *ends[:-1], len(texts[-1])])]
