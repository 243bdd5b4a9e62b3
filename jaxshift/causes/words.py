"""Words of a text, and the tokens in which they begin."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

RULE = 'letters and digits, joined by apostrophes and hyphens; capitals do not count'
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def vocabulary(texts: Iterable[str]) -> set[str]:
    """All words of some texts."""
    return {word.casefold() for text in texts for word in _WORD.findall(text)}


def begun(pieces: Sequence[str]) -> list[tuple[int, str]]:
    """The words of a text that is given piece by piece: the piece in which each begins, and the word."""
    starts = [0, *accumulate(map(len, pieces))]
    found = _WORD.finditer(''.join(pieces))
    return [(bisect_right(starts, word.start()) - 1, word[0].casefold()) for word in found]
