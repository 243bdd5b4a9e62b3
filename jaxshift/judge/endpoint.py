"""A judge behind an OpenAI-compatible /v1/chat/completions: cache, budget, retries."""

from __future__ import annotations

import collections
import email.utils
import json
import random
import re
import threading
import time
from collections.abc import Iterable
from typing import Any

from jaxshift.config import Judge
from jaxshift.devices.process import StopSignal
from jaxshift.errors import InputError
from jaxshift.judge import cache
from jaxshift.judge.asking import NoReply
from jaxshift.judge.budget import Budget
from jaxshift.judge.cache import Cache, Reply
from jaxshift.judge.client import Client
from jaxshift.judge.rubric import Messages, encodable

LONGEST = 60.0  # seconds between two attempts, unless the server asks for more
PATIENCE = 600.0  # seconds that a server may ask to be left alone
GIVE_UP = 20  # calls in a row without a reply, after which nothing more is asked
AGAIN = (408, 409, 429)  # and 5xx: a later attempt may succeed
BAD = (400, 422)  # of one question, or of a parameter of all
REMEDIES = {  # parameters that some models refuse, and the key that keeps them from being sent
    'max_tokens': 'limit_name=max_completion_tokens',
    'max_completion_tokens': 'limit_name=max_tokens',
    'temperature': 'temperature=-1, which sends none',
}
WRONG = (401, 403, 404)  # every call would fail
UNSENT = ('ConnectError', 'ConnectTimeout')  # of httpx, or of httpx2: whichever the installed client is built on


class Endpoint:
    """Asks one model, from several threads; `with` it, so that its connections end.

    Attributes:
      budget: what was spent.
      events: how often each thing happened: 'asked' (a request was sent), 'cached', and reasons why none replied.
    """

    def __init__(self, asked: Judge, replies: Cache, stop: StopSignal):
        self._asked, self._cache, self._stop = asked, replies, stop
        prices = asked.input_price, asked.output_price
        self.budget = Budget(asked.max_calls, asked.max_cost, prices, replies.calls, replies.cost)
        self.events: collections.Counter[str] = collections.Counter()
        temperature = {} if asked.temperature < 0 else {'temperature': asked.temperature}
        self._parameters: dict[str, Any] = {asked.limit_name: asked.max_tokens} | temperature
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = collections.defaultdict(threading.Lock)
        self._client: Client | None = None
        self._in_a_row = 0
        self._wrong: InputError | None = None

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *error: object) -> None:
        if self._client:
            self._client.close()

    def __call__(self, messages: Messages) -> Reply:
        """The reply to a conversation, from the cache where it was asked before.

        Raises:
          NoReply: the budget is spent, or the server does not answer.
          InputError: no call can succeed: no key, a wrong key, no such model or address.
        """
        name = cache.key(self._asked.model, messages, self._parameters)
        with self._lock:
            turn = self._turns[name]
        with turn:  # of two that ask the same at the same time, one pays
            found = self._cache.get(name)
            try:
                if found is None:
                    return self._ask(name, messages)
            except NoReply as error:
                self._count(str(error))
                raise
        self._count('cached')
        return found

    def _ask(self, name: str, messages: Messages) -> Reply:
        reason = ''
        for attempt in range(self._asked.retries + 1):
            if self._wrong:  # another thread may take up a question before the first error has ended all
                raise self._wrong
            if self._stop.requested:
                raise NoReply('stopped')
            if self._in_a_row >= GIVE_UP:
                raise NoReply(f'not asked, after {GIVE_UP} calls in a row without a reply')
            found = self._attempt(name, messages)
            if isinstance(found, Reply):
                self._in_a_row = 0
                return found
            reason, wait = found
            if wait > PATIENCE:
                break
            if attempt < self._asked.retries:
                self._pause(attempt, wait)
        self._in_a_row += 1
        raise NoReply(reason)

    def _attempt(self, name: str, messages: Messages) -> Reply | tuple[str, float]:
        """The reply, or why there is none and how many seconds the server asks to wait."""
        import openai

        client = self._open()
        most = self.budget.reserve(messages, self._asked.max_tokens)
        if most is None:
            raise NoReply('not asked, the budget is spent')
        self._cache.sent(name, self._asked.model, most)
        self._count('asked')
        try:
            body = client(messages, self._parameters)
        except (TimeoutError, openai.APIConnectionError) as error:
            if type(error.__cause__).__name__ in UNSENT:  # else it may be billed, and stays counted
                self._release(name, most)
            late = isinstance(error, (TimeoutError, openai.APITimeoutError))
            return 'time-out' if late else 'connection failed', 0.0
        except openai.APIStatusError as error:
            self._release(name, most)
            status = f'HTTP {error.status_code}'
            parameter = refused(error.body, self._parameters) if error.status_code in BAD else ''
            if error.status_code in WRONG or parameter:
                remedy = (
                    f'it refuses {parameter}; set config.judge.{REMEDIES[parameter]}' if parameter
                    else f'check model and base_url, and the key in ${self._asked.key_variable}'
                )  # fmt: skip
                self._wrong = InputError(
                    f'config.judge: {client.base_url} answers {status} for model {self._asked.model!r}; {remedy}'
                )
                raise self._wrong from error
            if error.status_code < 500 and error.status_code not in AGAIN:
                raise NoReply(status) from error  # of this question alone, so it gives no reason to give up
            wait = retry_after(error.response.headers.get('retry-after', ''), time.time())
            return status + (f', to be asked again in {wait:.0f} s' if wait > PATIENCE else ''), wait
        reply, usage = read(body)
        self._cache.replied(name, reply, usage, self.budget.settle(most, usage) - most)
        return reply

    def _release(self, name: str, most: float) -> None:
        """A call turned out to cost nothing."""
        self.budget.release(most)
        self._cache.free(name, most)

    def _pause(self, attempt: int, asked: float) -> None:
        """Waits longer after every attempt, not all threads equally long, and as long as the server asks."""
        end = time.monotonic() + max(asked, min(LONGEST, self._asked.backoff * 2**attempt) * random.uniform(0.5, 1))
        while (left := end - time.monotonic()) > 0 and not (self._stop.requested or self._wrong):
            time.sleep(min(left, 0.2))

    def _open(self) -> Client:
        """The client, when something must be asked: what lies in the cache needs no key."""
        with self._lock:
            if self._client is None:
                self._client = Client(self._asked)
            return self._client

    def _count(self, event: str) -> None:
        with self._lock:
            self.events[event] += 1


def read(body: str) -> tuple[Reply, dict[str, int]]:
    """The reply in the body of an answer, and the tokens it took, {} where it does not say.

    A body that is no chat completion is itself the reply: whoever sent it, it was read and says nothing.
    """
    try:
        found = json.loads(body)
        choice = found['choices'][0]
        message, usage = choice['message'], found.get('usage') or {}
        content, refusal = message.get('content'), message.get('refusal')
        ended = choice.get('finish_reason')
        tokens: dict[str, Any] = {name: usage.get(name) for name in ('prompt_tokens', 'completion_tokens')}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Reply(encodable(body)), {}
    counted = all(type(count) is int and count >= 0 for count in tokens.values())
    if isinstance(refusal, str) and refusal:
        return Reply(encodable(refusal), True), tokens if counted else {}
    text = content if isinstance(content, str) else body
    return Reply(encodable(text), ended == 'content_filter', ended == 'length'), tokens if counted else {}


def refused(error: Any, sent: Iterable[str]) -> str:
    """Which of the parameters that were sent the error of an answer says the model does not take at all, '' for none.

    OpenAI names it as `param`, with a code unsupported_parameter or unsupported_value; other servers in words alone. A
    value that is too great for one question refuses no parameter.
    """
    if not isinstance(error, dict):
        return ''
    words = f'{error.get("code")} {error.get("message")}'
    if not re.search(
        'not support|unsupported|deprecat|unrecogni[sz]ed|not permitted|not allowed', words, re.IGNORECASE
    ):
        return ''
    named = error['param'] if isinstance(error.get('param'), str) else words
    return next((name for name in sent if re.search(rf'\b{name}\b', named)), '')


def retry_after(header: str, now: float) -> float:
    """Seconds that a Retry-After asks for, as a number or as a date; 0 where it cannot be read."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if seconds == seconds else 0.0
