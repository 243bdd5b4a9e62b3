"""What a judge may spend: every call is paid for before it is sent, at the most that it can cost."""

from __future__ import annotations

import threading

from jaxshift.judge.rubric import Messages

MILLION = 1_000_000
FRAME = 16  # tokens of the chat template around a message, at most


class Budget:
    """Calls and cost over all starts in a workdir; several threads may use it.

    Attributes:
      calls: sent so far, those on their way included.
      cost: of them, in the currency of the prices; the most it can be for those on their way.
      unmetered: calls of this start whose reply did not say how many tokens it took, counted at the most.
    """

    def __init__(self, max_calls: int, max_cost: float, prices: tuple[float, float], calls: int = 0, cost: float = 0.0):
        """`prices` are those of a million tokens read and written; a limit of 0 is none."""
        self._lock = threading.Lock()
        self._max_calls, self._max_cost, self._prices = max_calls, max_cost, prices
        self.calls, self.cost, self.unmetered = calls, cost, 0

    def reserve(self, messages: Messages, max_tokens: int) -> float | None:
        """The most that a call can cost, which is spent from here on; None: that would be too much.

        A token is at least one byte of UTF-8, so bytes bound the tokens that are read.
        """
        read = sum(len(message['content'].encode()) + FRAME for message in messages)
        most = self.price(read, max_tokens)
        with self._lock:
            too_many = self._max_calls and self.calls + 1 > self._max_calls
            if too_many or (self._max_cost and self.cost + most > self._max_cost):
                return None
            self.calls += 1
            self.cost += most
            return most

    def release(self, most: float) -> None:
        """A reserved call turned out to cost nothing."""
        with self._lock:
            self.calls -= 1
            self.cost -= most

    def settle(self, most: float, usage: dict[str, int]) -> float:
        """What a reserved call has cost, by the tokens of its reply; the most where they are not told."""
        cost = self.price(usage['prompt_tokens'], usage['completion_tokens']) if usage else most
        with self._lock:
            self.cost += cost - most
            self.unmetered += not usage
        return cost

    def price(self, read: int, written: int) -> float:
        return (read * self._prices[0] + written * self._prices[1]) / MILLION
