"""What kind of word a token belongs to, by a rule that anybody can follow with a pencil.

The response is read as text, and each token takes the kind of the first character of it that has one. In this order:

- END: the token is an end token;
- LAYOUT: list markers and headings at the beginning of a line (`-`, `*`, `•`, `1.`, `a)`, `##`; a number or letter has
  text behind it, so the answer `42.` is none), marks of tables, bold and code (`|`, `**`, backticks), and line ends, or
  blanks alone;
- DISCOURSE: a word or phrase of `style_words.DISCOURSE` that opens: at the beginning of a sentence or line, behind
  another opener and its comma, or with a comma behind it;
- POLITENESS: a word or phrase of `style_words.POLITENESS`, wherever it stands;
- FUNCTION: a word of `style_words.FUNCTION`;
- CONTENT: any other word or number;
- PUNCTUATION: what is left.

The longest phrase counts. The words are English; in another language most words are content. The later pieces of a word
have the kind of the word: of " Typ" and "ically" both belong to the opener. So has a token that only goes on with a
character, whose text is ''. A character that is cut off, U+FFFD, is taken for a letter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np

from jaxshift.causes.style_words import DISCOURSE, FUNCTION, POLITENESS

CATEGORIES = (
    'discourse opener', 'list and layout', 'politeness and safety', 'end of sequence', 'function word', 'content word',
    'punctuation',
)  # fmt: skip
OPENER, LAYOUT, POLITE, END, FUNCTIONAL, CONTENT, PUNCTUATION = range(len(CATEGORIES))
STYLE = (OPENER, LAYOUT, POLITE)  # what is said, not what about

_LAYOUT = re.compile(
    r'^[ \t]*(?:[-*•+–][ \t]|(?:\d{1,3}|[a-zA-Z])[.)](?=[ \t]+\S)|\#{1,6}(?=\s))|\*\*|`+|\||^-{3,}|\n', re.MULTILINE
)
_WORD = re.compile(r"(?:[^\W_]|\ufffd)+(?:['’\-](?:[^\W_]|\ufffd)+)*|[^\w\s]|_")
_STOPS = '.!?…:'
_QUOTES = '"\'”’»)]'


def of_text(text: str) -> np.ndarray:
    """The category of each character [len(text)], -1 for blanks."""
    kinds = np.full(len(text), -1, np.int8)
    for mark in _LAYOUT.finditer(text):
        kinds[mark.start() : mark.end()] = LAYOUT
    spans = [word.span() for word in _WORD.finditer(text) if kinds[word.start()] < 0]
    words = [text[start:end].lower().replace('’', "'") for start, end in spans]
    opens, place = True, 0
    while place < len(words):
        if place and LAYOUT in kinds[spans[place - 1][1] : spans[place][0]]:
            opens = True  # a line end or a list marker stands between
        size, kind = _kind(words, place, opens)
        kinds[spans[place][0] : spans[place + size - 1][1]] = kind
        last, place = words[place + size - 1], place + size
        if kind == OPENER or (opens and last == ','):
            opens = True
        elif last not in _QUOTES or not opens:
            opens = last in _STOPS
    return kinds


def of_tokens(texts: Sequence[str], is_end: Sequence[bool]) -> np.ndarray:
    """The category of each token [N] of one response, int8.

    Args:
      texts: the text that each token begins, with the blanks that it stands for.
      is_end: whether it is an end token, which says nothing.
    """
    said = ['' if end else text for text, end in zip(texts, is_end, strict=True)]
    kinds, found, start = of_text(''.join(said)), np.empty(len(said), np.int8), 0
    for index, (text, end) in enumerate(zip(said, is_end, strict=True)):
        own = kinds[start : start + len(text)] if text else kinds[max(start - 1, 0) : start]
        start += len(text)
        known = own[own >= 0]
        # Of a full stop and a line end in one token the line end is what a list is made of.
        layout = LAYOUT in known or not len(known)
        found[index] = END if end else LAYOUT if layout else known[0]
    return found


def _kind(words: Sequence[str], place: int, opens: bool) -> tuple[int, int]:
    """How many words the longest phrase here has, and their category."""
    found = [(len(phrase), POLITE) for phrase in _phrases(words, place, _POLITE_BY_FIRST)]
    for phrase in _phrases(words, place, _OPENERS_BY_FIRST):
        behind = place + len(phrase)
        if opens or (behind < len(words) and words[behind] == ','):
            found.append((len(phrase), OPENER))
    if found:
        return max(found, key=lambda each: (each[0], each[1] == OPENER))
    word = words[place]
    if word in FUNCTION:
        return 1, FUNCTIONAL
    return 1, CONTENT if any(char.isalnum() or char == '\ufffd' for char in word) else PUNCTUATION


def _phrases(words: Sequence[str], place: int, by_first: dict[str, list[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    phrases = by_first.get(words[place], ())
    return [phrase for phrase in phrases if tuple(words[place : place + len(phrase)]) == phrase]


def _by_first(phrases: Collection[tuple[str, ...]]) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for phrase in phrases:
        found.setdefault(phrase[0], []).append(phrase)
    return found


_OPENERS_BY_FIRST, _POLITE_BY_FIRST = _by_first(DISCOURSE), _by_first(POLITENESS)
