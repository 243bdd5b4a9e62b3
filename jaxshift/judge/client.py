"""Calls to an OpenAI-compatible server, each bounded in time as a whole.

The time-outs of the openai client are for every read by itself, so that a server which sends a byte now and then would
hold a call for ever. On an event loop a whole call can be ended, whatever it waits for, and its connection with it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from jaxshift.config import Judge
from jaxshift.errors import InputError
from jaxshift.judge.rubric import Messages


class Client:
    """An openai client and the event loop it runs on; several threads may call it.

    Attributes:
      base_url: of the server.
    """

    def __init__(self, asked: Judge):
        """Starts the loop; nothing is sent yet.

        Raises:
          InputError: openai is not installed, or there is no key.
        """
        self._asked, self._client = asked, _openai(asked)
        self.base_url = str(self._client.base_url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __call__(self, messages: Messages, parameters: dict[str, Any]) -> str:
        """The body of the answer to a conversation.

        Raises:
          TimeoutError: it did not come in time.
          openai.APIError: there is none.
        """
        return asyncio.run_coroutine_threadsafe(self._call(messages, parameters), self._loop).result()

    async def _call(self, messages: Messages, parameters: dict[str, Any]) -> str:
        async with asyncio.timeout(self._asked.timeout):
            completions = self._client.chat.completions.with_raw_response
            answer = await completions.create(model=self._asked.model, messages=messages, **parameters)
        return answer.text

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _openai(asked: Judge) -> Any:
    try:
        import openai
    except ImportError as error:
        raise InputError("config.judge.kind endpoint needs the openai client: pip install 'jaxshift[judge]'") from error
    key = os.environ.get(asked.key_variable, '') if asked.key_variable else 'none'
    if not key:
        raise InputError(
            f'the environment has no {asked.key_variable}, which config.judge.key_variable names; set it to the key of '
            'the endpoint, or leave key_variable empty where it needs none'
        )
    # Connecting ends before the whole call does, so that it is known that nothing was sent.
    timeout = openai.Timeout(asked.timeout, connect=asked.timeout / 2)
    # Retries are counted, paid for and waited for by the endpoint.
    return openai.AsyncOpenAI(api_key=key, base_url=asked.base_url or None, timeout=timeout, max_retries=0)
