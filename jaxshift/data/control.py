"""Names of control tokens inside texts of a record: they stay text, whatever the text says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from jaxshift.data.shapes import Message


def tokens(tokenizer: PreTrainedTokenizerBase, source: str, written: Sequence[str]) -> dict[int, str]:
    """Id to name of the tokens that steer the model.

    They are the tokenizer's special tokens, and of its other added tokens those that the template writes or could
    write: fine-tuned models often have `<|im_end|>` or `<tool_response>` as one of them. Blank ones are for runs of
    spaces and steer nothing.

    Args:
      tokenizer: of the model.
      source: Jinja text of its template; a word of the language that is a token too is no name.
      written: what the template wrote for some conversations.
    """

    def steers(name: str) -> bool:
        named = name in source and not name.isalnum()
        return bool(name.strip()) and (named or any(name in text for text in written))

    added = tokenizer.added_tokens_decoder.items()
    return {i: token.content for i, token in added if token.special or steers(token.content)}


def pattern(names: Collection[str]) -> re.Pattern[str]:
    """Finds any of the names, the longest where several begin."""
    return re.compile('|'.join(map(re.escape, sorted(names, key=len, reverse=True))) or '(?!)')


def mark(messages: Sequence[Message], names: re.Pattern[str]) -> tuple[Sequence[Message], dict[str, str]]:
    """Replaces names in the turns by private-use characters that no turn has, before the template is rendered.

    Returns:
      The turns, and the name for each character.
    """
    found = sorted({name for message in messages for name in names.findall(message.content)})
    if not found:
        return messages, {}
    used = {character for message in messages for character in message.content}
    unused: Iterable[str] = (chr(code) for code in range(0xF0000, 0xFFFFE) if chr(code) not in used)
    marks = dict(zip(found, unused, strict=False))
    marked = [Message(role, names.sub(lambda match: marks[match.group()], content)) for role, content in messages]
    return marked, {character: name for name, character in marks.items()}
