"""The words of an answer, and which of them are style, content, or specific to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from transformers import PreTrainedTokenizerBase

from jaxshift.causes.style_words import FUNCTION

STYLE, CONTENT, SPECIFIC = 'style', 'content', 'specific'
COMMON = 0.05  # a word that so many of the texts have is not specific to one
_FEWEST = 2  # texts that may share a specific word, however few there are
_WIDE = '\u2e80'  # from here on scripts are written without blanks: each token is a word


@dataclass(frozen=True)
class Word:
    """Some tokens of a text, from `start` on and before `stop`, and what they say: '' for marks and blanks alone."""

    start: int
    stop: int
    text: str


def reader(tokenizer: PreTrainedTokenizerBase) -> Callable[[Sequence[int]], list[Word]]:
    """Gives the words of token ids: what stands between blanks, and marks that are no letters apart.

    Tokens that steer the model, such as that of the end, say nothing.
    """

    @cache
    def text(*ids: int) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))

    def piece(before: int | None, token: int) -> str:
        """What a token adds to the text; many tokenizers drop the blank of the first, so it is read behind another."""
        return text(token) if before is None else text(before, token)[len(text(before)) :]

    def words(ids: Sequence[int]) -> list[Word]:
        pieces = [piece(before, token) for before, token in zip([None, *ids], ids, strict=False)]
        starts = [place for place, new in enumerate(pieces) if not place or not _goes_on(pieces[place - 1], new)]
        return [
            Word(start, stop, ' '.join(spoken(''.join(pieces[start:stop]))))
            for start, stop in zip(starts, [*starts[1:], len(pieces)], strict=True)
        ]

    return words


def _goes_on(before: str, text: str) -> bool:
    """Whether a piece belongs to the word of the one before it."""
    return before[-1:].isalnum() and text[:1].isalnum() and text[:1] < _WIDE


def spoken(text: str) -> list[str]:
    """The words of a text as `Word.text` has them: runs of letters and digits, in small letters."""
    return re.findall(r'[^\W_]+', text.casefold())


_FUNCTION = frozenset(piece for word in FUNCTION for piece in spoken(word))  # "don't" is "don" and "t" here


def common(texts: Collection[str]) -> frozenset[str]:
    """Words that more than `COMMON` of the texts have."""
    counts = Counter(word for text in texts for word in set(spoken(text)))
    most = max(_FEWEST, COMMON * len(texts))
    return frozenset(word for word, count in counts.items() if count > most)


def kinds(words: Sequence[Word], asked: Iterable[str], shared: Collection[str]) -> list[str]:
    """Of each word STYLE (marks, layout and function words), SPECIFIC, or else CONTENT.

    Specific is what this answer alone has to know: a word that is no style, that the question does not have, that the
    answer has not said before, and that few other answers say.

    Args:
      words: of the answer.
      asked: words of the question.
      shared: words that are common to many answers.
    """
    said, found = set(asked), []
    for word in words:
        if word.text in _FUNCTION or not word.text:
            found.append(STYLE)
        else:
            found.append(CONTENT if word.text in said or word.text in shared else SPECIFIC)
        said.add(word.text)
    return found
