"""From a conversation to token ids and the mask of what is trained.

Answers and their end-of-turn token are trained. They are found, in this order, by the chat template's
`{% generation %}` tags, or by rendering turn by turn; a tokenizer without a chat template (a base model) gets the
paper's `Human: ...\\nAssistant: ...`. The text is cut at the ends of questions and answers and each piece is tokenised
apart, so that the ids of a prompt at inference are exactly the first ids of the same conversation in training.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jinja2
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from jaxshift.data import control
from jaxshift.data.shapes import Message
from jaxshift.errors import InputError

TEMPLATES = ('auto', 'native', 'paper')
_PROBE = (Message('user', 'question'), Message('assistant', 'answer'))
_AGAIN = (Message('user', 'question 2'), Message('assistant', 'answer 2'))
_PROBES = _PROBE, (*_PROBE, *_AGAIN), (Message('system', 'system'), *_PROBE, *_AGAIN)
_WAY_OUT = 'use a chat template with generation tags that end behind the end-of-turn token, or data.template=paper'


class Piece(NamedTuple):
    """Rendered text that is tokenised apart."""

    text: str
    trained: bool


def choose(tokenizer: PreTrainedTokenizerBase, how: str = 'auto') -> Template:
    """The template of a tokenizer.

    Args:
      tokenizer: of the model.
      how: native (the tokenizer's chat template), paper, or auto: native where there is one.

    Raises:
      InputError: `how` is unknown or impossible for this tokenizer.
    """
    if how not in TEMPLATES:
        raise InputError(f'unknown data.template {how!r}; known are {", ".join(TEMPLATES)}')
    if how == 'paper' or (how == 'auto' and not tokenizer.chat_template):
        if tokenizer.eos_token is None:
            raise InputError('the tokenizer has no eos_token, so no answer could end; set it in tokenizer_config.json')
        return Template(tokenizer, None)
    try:
        return Template(tokenizer, tokenizer.get_chat_template())
    except ValueError:
        raise InputError('the tokenizer has no (default) chat template; set data.template=paper') from None


class Template:
    """How conversations are written for one tokenizer; made by `choose`.

    Attributes:
      tokenizer: of the model.
      name: native or paper.
      stop_ids: ids that end a response: the tokenizer's eos, and the end-of-turn token that the template trains.
      text_hash: of what the template writes, for cache keys; two templates of one name differ in it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str | None):
        """`source` is the Jinja text of a chat template; None: the paper's template."""
        self.tokenizer = tokenizer
        self.name = 'paper' if source is None else 'native'
        self._source = source
        self._tagged = bool(re.search(r'\{%-?\s*generation\s*-?%\}', source or ''))
        written = [self._probed(messages) for messages in _PROBES]
        names = control.tokens(tokenizer, source or '', [text for texts in written for text in texts])
        self._control_ids = frozenset(names)
        self._control = control.pattern(names.values())
        self._newline = self._ids('\n')
        # Llama-2's kind of tokenizer puts a space before every text; amid a conversation that space is wrong.
        self._adds_space = self._ids('\na')[len(self._newline) :] != self._ids('a')
        probe = self._pieces(_PROBE)
        ids, trained = self._encode(probe, {})
        stops = [tokenizer.eos_token_id, ids[-1] if trained[-1] and ids[-1] in names else None]
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys(i for i in stops if i is not None))
        self._tools = self._writes_tools()
        self.text_hash = hashlib.sha256(json.dumps([source, written]).encode()).hexdigest()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation whose last turn, the user's, is to be answered."""
        self._check_roles(messages)
        messages, marks = control.mark(messages, self._control)
        return self._encode(self._pieces(messages), marks)[0]

    def text_ids(self, text: str) -> list[int]:
        """Ids of a plain text between the tokenizer's bos, if it has one, and eos."""
        begin = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        return [*begin, *self.bare_ids(text), self.tokenizer.eos_token_id]

    def bare_ids(self, text: str) -> list[int]:
        """Ids of a plain text alone; names of control tokens in it are text."""
        (message,), marks = control.mark([Message('user', text)], self._control)
        return self._encode([Piece(message.content, True)], marks)[0]

    def example(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """Ids of a conversation up to its last answer, and which of them are trained.

        The end-of-turn token of the last answer is the last id.

        Raises:
          InputError: there is no answer, nothing or everything would be trained, or the template does not fit. The
            caller knows which record it is.
        """
        answers = [number for number, message in enumerate(messages) if message.role == 'assistant']
        if not answers:
            raise InputError(
                'the record has no answer to train on; add output (alpaca) or an assistant turn, or name the column '
                'that has it: columns=output=COLUMN'
            )
        self._check_roles(messages)
        messages, marks = control.mark(messages[: answers[-1] + 1], self._control)
        ids, trained = self._encode(self._pieces(messages), marks)
        if not any(trained):
            raise InputError(f'the chat template trains no token of the answer; {_WAY_OUT}')
        if all(trained):
            raise InputError(f'the chat template trains every token, those of the question too; {_WAY_OUT}')
        return ids, trained

    def _probed(self, messages: Sequence[Message]) -> list[str]:
        """What the template writes for a conversation and for its prompt, or why it refuses."""
        try:
            if self._source is None:
                return [piece.text for piece in self._paper_pieces(messages)]
            return [self._render(messages, False)[0], self._render(messages[:-1], True)[0]]
        except InputError as error:
            return [str(error)]

    def _writes_tools(self) -> bool:
        """Whether the answer of a tool is written, and not as if the user or the assistant had said it."""
        if self._source is None:
            return False
        texts = [
            self._probed([*_PROBE, Message(role, 'observation'), _AGAIN[1]]) for role in ('tool', 'user', 'assistant')
        ]
        return 'observation' in texts[0][0] and texts[0] not in texts[1:]

    def _check_roles(self, messages: Sequence[Message]) -> None:
        if not self._tools and any(message.role == 'tool' for message in messages):
            raise InputError(f'the {self.name} template has no tool turns; use a chat template that writes them')

    def _pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The rendered text in order; an open question at the end is followed by what opens the answer."""
        if self._source is None:
            return self._paper_pieces(messages)
        asked = messages[-1].role != 'assistant'
        text, spans = self._render(messages, asked)
        head = text if asked else self._render(messages[:-1], True)[0]
        if not text.startswith(head):
            raise InputError(f'the chat template opens an answer otherwise in a prompt than in training; {_WAY_OUT}')
        if not self._tagged:
            spans = self._answers(messages, text)
        spans = [(start, start + self._answer_end(text[start:end])) for start, end in spans]
        end = spans[-1][1] if spans and not asked else len(text)
        cuts = sorted({0, len(head), end, *(cut for span in spans for cut in span)})
        return [
            Piece(text[start:stop], any(first <= start and stop <= last for first, last in spans))
            for start, stop in pairwise(cuts)
            if stop <= end
        ]

    def _paper_pieces(self, messages: Sequence[Message]) -> list[Piece]:
        pieces, text = [], ''
        if self.tokenizer.bos_token is not None:
            pieces.append(Piece(self.tokenizer.bos_token, False))
        for number, (role, content) in enumerate(messages):
            if role == 'assistant':
                pieces += [Piece(text, False), Piece(content, True), Piece(self.tokenizer.eos_token, True)]
                text = ''
            else:
                text += '\n' * (number > 0) + (content if role == 'system' else f'Human: {content}\nAssistant: ')
        return [piece for piece in (*pieces, Piece(text, False)) if piece.text]

    def _answers(self, messages: Sequence[Message], text: str) -> list[tuple[int, int]]:
        """Where each answer stands in `text`, by rendering turn by turn."""
        spans = []
        for number, message in enumerate(messages):
            if message.role == 'assistant':
                head, _ = self._render(messages[:number], True)
                turn, _ = self._render(messages[: number + 1], False)
                if not (turn.startswith(head) and text.startswith(turn)):
                    raise InputError(f'the chat template rewrites turn {number} when the next one follows; {_WAY_OUT}')
                spans.append((len(head), len(turn)))
        return spans

    def _answer_end(self, answer: str) -> int:
        """Length of an answer with its end-of-turn token, without white space behind that."""
        kept = answer.rstrip()
        last = [match.end() for match in self._control.finditer(kept)][-1:]
        return len(kept) if last == [len(kept)] else len(answer)

    def _render(self, messages: Sequence[Message], open_answer: bool) -> tuple[str, list[tuple[int, int]]]:
        names: dict[str, Any] = dict(self.tokenizer.special_tokens_map)
        # Llama 3's templates write today's date otherwise: the same data would be other tokens tomorrow.
        names['date_string'] = '26 Jul 2024'
        try:
            rendered: Any = render_jinja_template(
                conversations=[[message._asdict() for message in messages]],
                chat_template=self._source,
                return_assistant_tokens_mask=self._tagged,
                add_generation_prompt=open_answer,
                **names,
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise InputError(f'the chat template refuses the conversation ({error}); {_WAY_OUT}') from None
        (text,), spans = rendered
        return text, spans[0] if self._tagged else []

    def _encode(self, pieces: Sequence[Piece], marks: dict[str, str]) -> tuple[list[int], list[bool]]:
        ids: list[int] = []
        trained: list[bool] = []
        for number, piece in enumerate(pieces):
            parts = re.split(f'([{"".join(marks)}])', piece.text) if marks else [piece.text]
            for place, part in enumerate(parts):
                if not part:
                    continue
                # LLaMA-Factory, and so the paper, let the tokenizer's space stand before question and answer.
                begins = place == 0 and (number == 0 or self.name == 'paper')
                new = self._plain_ids(marks[part], begins) if part in marks else self._ids(part, begins=begins)
                ids += new
                trained += [piece.trained] * len(new)
        return ids, trained

    def _plain_ids(self, name: str, begins: bool) -> list[int]:
        """Ids of the name of a control token that stands in a text."""
        ids = self._ids(name, plain=True, begins=begins)
        if self._control_ids.isdisjoint(ids):
            return ids
        # A tokenizer splits special tokens when asked to, but not other added tokens: letter by letter none is found.
        return [i for place, letter in enumerate(name) for i in self._ids(letter, True, begins and not place)]

    def _ids(self, text: str, plain: bool = False, begins: bool = True) -> list[int]:
        inside = not begins and self._adds_space
        text = '\n' + text if inside else text
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=plain, verbose=False)['input_ids']
        return ids[len(self._newline) :] if inside else ids
