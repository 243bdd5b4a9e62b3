"""Answers made short by rule, without a model: what says nothing goes, and the first sentences stay.

In this order, for every answer that has no block of code (which cannot be cut in the middle):

1. it is cut into sentences; a line without a full stop is one too, and a list is one as a whole;
2. sentences that only greet, offer help, thank for being asked or announce what follows are left out;
3. at the beginning of every other sentence openers that say nothing are taken away, such as "However," or "It is worth
   noting that", with their comma, until none is left; the next word takes over the capital;
4. the first so many sentences are kept.

Behind a title or an abbreviation that is seldom the last word ("Dr.", "e.g.", "U.S."; see `_ABBREVIATIONS`) no sentence
ends; another abbreviation may be cut. An answer of which nothing would be left stays as it is. What a sentence says is
not looked at, so an answer whose point comes last loses it: a model that rewrites (`judge.simplifying`) does not, and
asks for an endpoint.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from jaxshift.data.formats import Example


def _any(phrases: str) -> str:
    """A pattern of these phrases, the longest first."""
    return '|'.join(sorted((each.replace(' ', r'\s+') for each in phrases.split('|')), key=len, reverse=True))


# With a comma or a colon behind them, or `that`, these openers say nothing.
_OPENERS = _any(
    'absolutely|actually|additionally|all in all|all things considered|as a matter of fact|as mentioned|as we know|'
    'basically|besides|certainly|essentially|first of all|furthermore|generally speaking|however|in addition|in brief|'
    'in conclusion|in essence|in fact|in short|in summary|indeed|interestingly|moreover|needless to say|notably|'
    'of course|overall|simply put|so|sure|to begin with|to conclude|to put it simply|to sum up|to summarize|well|'
    'what is more'
)
_NOTES = _any(
    'it is crucial to note that|it is important to mention that|it is important to note that|'
    'it is important to remember that|it is worth mentioning that|it is worth noting that|it should be noted that|'
    "it's important to note that|it's worth noting that|keep in mind that|note that|please note that|"
    'there is no doubt that|typically one would say that'
)
_GREETINGS = _any(
    'absolutely|certainly|congratulations|good luck|great question|hello|hi|hi there|my pleasure|no problem|of course|'
    "sure|sure thing|thank you|thanks|you are welcome|you're welcome"
)
# Of "I hope", "let me know" or "thank you for" alone much of what people write begins.
_OFFERS = (
    r'(?:(?:please )?feel free to (?:ask|contact|reach|let me know)'
    r'|(?:i )?hope (?:this|that|it|these|those)(?: (?:answer|explanation|information))? '
    r'(?:helps?|helped|answers|clarifies|clears|(?:is|was) (?:helpful|useful)|will help)'
    r"|(?:(?:i am|i'm|i'd be|i would be) )?(?:always )?(?:glad|happy) to (?:help|assist|answer)"
    r'|(?:please )?let me know (?:if|whether|should)|(?:thank you|thanks) for (?:asking|your question|reaching out)'
    r"|that's a great question)"
).replace(' ', r'\s+')
_OPENER = re.compile(rf'(?:(?:{_OPENERS})\s*[,:]\s*|(?:{_NOTES}),?\s+)', re.IGNORECASE)
_NOTHING = re.compile(
    rf"(?:(?:{_GREETINGS})\s*[.!]*|{_OFFERS}\b[^\n]*|here(?:\s+is|\s+are|'s)\b[^\n]*:)\s*$", re.IGNORECASE
)
_MARKER = re.compile(r'[ \t]*(?:[-*•+]|\d{1,3}[.)])[ \t]+')
_ABBREVIATIONS = ('Dr', 'Mr', 'Mrs', 'Ms', 'Prof', 'St', 'U.S', 'U.K', 'e.g', 'i.e', 'vs')
_UNENDED = ''.join(rf'(?<!\b{re.escape(each)})' for each in _ABBREVIATIONS)
_SENTENCE = re.compile(rf'.+?(?:{_UNENDED}[.!?…。！？]+["\'”’)\]]*(?=\s|$)|$)[ \t]*')


def shortened(text: str, sentences: int) -> str:
    """The text by the rules above; `sentences` 0 keeps all that are left."""
    if '```' in text:
        return text
    kept = [each for each in map(_opened, _cut(text)) if each.strip()]
    return ''.join(kept[: sentences or None]).strip() or text


def answers(example: Example, rewrite: Callable[[str, str], str]) -> Example:
    """The example with every answer rewritten: `rewrite` is given what the user said last, and the answer."""
    asked, turns = '', []
    for turn in example.messages:
        if turn.role == 'assistant':
            turn = turn._replace(content=rewrite(asked, turn.content))
        else:
            asked = turn.content
        turns.append(turn)
    return dataclasses.replace(example, messages=tuple(turns))


def _cut(text: str) -> list[str]:
    """Sentences, headings and lists, each with the blanks and line ends behind it."""
    pieces: list[str] = []
    listed = False  # the last piece is a list
    for line in text.splitlines(keepends=True):
        item = bool(_MARKER.match(line))
        if pieces and (not line.strip() or (item and listed)):
            pieces[-1] += line
            continue
        body, listed = line.rstrip('\r\n'), item
        pieces += [line] if item else [each[0] for each in _SENTENCE.finditer(body)] or [body]
        if not item:
            pieces[-1] += line[len(body) :]
    return pieces


def _opened(sentence: str) -> str:
    """A sentence without what says nothing; '' where it all says nothing. A list stays whole."""
    if _MARKER.match(sentence):
        return sentence
    said = sentence
    while opener := _OPENER.match(said):
        rest = said[opener.end() :]
        said = rest[:1].upper() + rest[1:] if said[:1].isupper() else rest
    return '' if _NOTHING.match(said) else said
