"""Responses looked up in the tuning data and in a null corpus, and the spans that chance does not explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jaxshift.causes import spans, suffixes
from jaxshift.causes.draws import Draws
from jaxshift.causes.spans import Span
from jaxshift.causes.suffixes import Matches, Suffixes

RATE = 0.05  # expected share of chance among the spans that are called borrowed


@dataclass(frozen=True)
class Search:
    """Responses looked up in both corpora.

    Attributes:
      corpora: indexes of the tuning data and of the null corpus, in this order, as of all pairs here.
      texts: token ids of each response, without end tokens.
      prompts: token ids of each prompt.
      least: tokens of the shortest span.
      draws: of intervals.
    """

    corpora: tuple[Suffixes, Suffixes]
    texts: Sequence[np.ndarray]
    prompts: Sequence[np.ndarray]
    least: int
    draws: Draws = field(repr=False)

    @cached_property
    def tokens(self) -> np.ndarray:
        """[P]."""
        return np.concatenate([np.zeros(0, np.int64), *self.texts])

    @cached_property
    def response(self) -> np.ndarray:
        """[P]."""
        return np.repeat(np.arange(len(self.texts)), [len(text) for text in self.texts])

    @cached_property
    def matches(self) -> tuple[Matches, Matches]:
        first, second = self.corpora
        return suffixes.matches(first, self.texts), suffixes.matches(second, self.texts)

    @cached_property
    def echo(self) -> np.ndarray:
        return spans.echo(self.prompts, self.texts)

    @cached_property
    def spans(self) -> tuple[list[Span], list[Span]]:
        """Maximal spans of both corpora; those that the own prompt holds whole are left out."""
        lengths = [each.length for each in self.matches]
        tuning, null = (
            spans.maximal(own, self.response, np.maximum(other, self.echo), self.least)
            for own, other in (lengths, lengths[::-1])
        )
        return self._not_echoed(tuning), self._not_echoed(null)

    def _not_echoed(self, found: list[Span]) -> list[Span]:
        return [span for span in found if self.echo[span.start] < span.length]

    def phrase(self, span: Span) -> tuple[int, ...]:
        return tuple(self.tokens[span.start : span.start + span.length].tolist())

    @cached_property
    def phrases(self) -> tuple[dict[tuple[int, ...], int], dict[tuple[int, ...], int]]:
        """The least excess of each phrase: one that many responses say is one case of chance."""
        found: tuple[dict, dict] = {}, {}
        for side, phrases in zip(self.spans, found, strict=True):
            for span in side:
                words = self.phrase(span)
                phrases[words] = min(span.excess, phrases.get(words, span.excess))
        return found

    @cached_property
    def chance(self) -> dict[int, float]:
        """Expected share of chance among phrases from an excess on."""
        tuning, null = (list(side.values()) for side in self.phrases)
        return spans.chance(tuning, null)

    def chance_of(self, span: Span) -> float | None:
        """That of the phrase of a span of the tuning data; None where it does not go beyond null corpus and prompt."""
        return self.chance.get(self.phrases[0][self.phrase(span)])

    @cached_property
    def suspected(self) -> list[Span]:
        """A span of the tuning data for each phrase that goes beyond null corpus and prompt, the strongest first."""
        first = {self.phrase(span): span for span in reversed(self.spans[0])}
        kept = [span._replace(excess=self.phrases[0][phrase]) for phrase, span in first.items()]
        return sorted(
            (span for span in kept if span.excess > 0), key=lambda span: (-span.excess, -span.length, span.start)
        )

    @cached_property
    def borrowed(self) -> list[Span]:
        """Spans of the tuning data that chance does not explain, all but `RATE` of them."""
        return [span for span in self.spans[0] if (chance := self.chance_of(span)) is not None and chance <= RATE]

    def places(self, found: Sequence[Span]) -> np.ndarray:
        """Tokens inside some spans: bool [P]."""
        inside = np.zeros(len(self.tokens), bool)
        for span in found:
            inside[span.start : span.start + span.length] = True
        return inside
