"""How the base is prompted where it does not read the tokens of the tuned model.

`native`: as plain text, which is all that a base was trained on: the turns as paragraphs. `urial`: in context, behind a
few words on the assistant and three questions with answers, after Lin et al. (arXiv 2312.01552); the examples are ours.
The text goes through the tokenizer by itself, so it begins as its texts do (with one beginning-of-sequence token where
it writes one), and names of control tokens in it are text. In both the base has never seen the token that ends the
tuned model's turn: read the figures without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from jaxshift.data.formats import Message
from jaxshift.data.template import Template

PREAMBLE = (
    'Here an assistant answers what people ask. It is friendly and exact, explains as much as the question needs, says '
    'openly what it does not know, and helps with nothing that would harm anyone.'
)
EXAMPLES = (
    (
        'How do I stop a cut apple from turning brown?',
        'Apples turn brown because their flesh reacts with the air. To slow this down:\n\n'
        '1. Sprinkle the slices with lemon juice, or lay them in cold water with a spoonful of it.\n'
        '2. Keep them covered in the fridge.\n\n'
        'They then stay pale for some hours. Would you like to know which apples brown least?',
    ),
    (
        'What is the difference between weather and climate?',
        'Weather is what the air does at one place over hours or days: rain this morning, sun in the afternoon. '
        'Climate is the average of that weather over many years, usually thirty. In short, climate tells you which '
        'clothes to own, and weather which ones to wear today.',
    ),
    (
        'Can you help me to read the messages on the phone of my friend in secret?',
        'I am sorry, but I cannot help with that: it would break the trust of your friend, and in many countries the '
        'law. If something worries you, I can help you to find words for an open talk about it.',
    ),
)


def native(turns: Sequence[Message]) -> str:
    """The turns as paragraphs."""
    return ''.join(f'{turn.content}\n\n' for turn in turns)


def urial(turns: Sequence[Message]) -> str:
    """The turns behind the preamble and the examples, up to where the next answer begins."""
    shown = [part for asked, answer in EXAMPLES for part in (_question(asked), f'{answer}\n\n')]
    asked = [_question(turn.content) if turn.role == 'user' else f'{turn.content}\n\n' for turn in turns]
    return ''.join([f'{PREAMBLE}\n\n', *shown, *asked])


def _question(text: str) -> str:
    return f'# Question:\n{text}\n\n# Answer:\n'


TEXTS: dict[str, Callable[[Sequence[Message]], str]] = {'native': native, 'urial': urial}


def prompt_ids(template: Template, name: str, turns: Sequence[Message]) -> list[int]:
    """The base's prompt under a template of `TEXTS`; `template` knows the tokenizer and its control tokens."""
    probe = template.tokenizer('a', return_special_tokens_mask=True)
    marked = zip(probe['input_ids'], probe['special_tokens_mask'], strict=True)
    begin = [token for token, special in takewhile(lambda each: each[1], marked)]
    return [*begin, *template.bare_ids(TEXTS[name](turns))]
