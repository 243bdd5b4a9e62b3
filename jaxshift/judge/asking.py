"""A conversation with a judge: one question, one attempt to repair its reply, and what comes of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from jaxshift.devices.process import StopSignal
from jaxshift.judge import reply, rubric
from jaxshift.judge.cache import Reply
from jaxshift.judge.judgement import Judgement
from jaxshift.judge.pairs import MEANT, Pair
from jaxshift.judge.rubric import Messages

Ask = Callable[[Messages], Reply]
Row = dict[str, Any]  # an object of responses.jsonl


class NoReply(Exception):
    """A judge could not be asked, or nothing came back; says why."""


class Answer(NamedTuple):
    """What came of a question: one of the outcomes of a `Judgement`, what was read (None: nothing), and the replies."""

    outcome: str
    value: Any
    raw: tuple[str, ...]


def converse(ask: Ask, messages: Messages, read: Callable[[str], Any]) -> Answer:
    """Asks, and once more where the reply cannot be read; one who declines is not pressed."""
    raw: tuple[str, ...] = ()
    for outcome in ('scored', 'repaired'):
        try:
            found = ask(messages)
        except NoReply:
            return Answer('failed', None, raw)
        raw = *raw, found.text
        if (value := read(found.text)) is not None:
            return Answer(outcome, value, raw)
        if found.refused or reply.is_refusal(found.text):
            return Answer('refused', None, raw)
        messages = rubric.repair(messages, found.text)
    return Answer('unparsed', None, raw)


def score(ask: Ask, row: Row, aspects: Sequence[str]) -> Judgement:
    """A response by one judge."""
    messages = rubric.scoring(row['prompt'], row['response'], aspects)
    outcome, value, raw = converse(ask, messages, functools.partial(reply.scores, aspects=aspects))
    found = value or dict.fromkeys(aspects, (None, ''))
    scores = {aspect: score for aspect, (score, _) in found.items()}
    return Judgement(row['example_id'], outcome, scores, {k: words for k, (_, words) in found.items() if words}, raw)


def compare(ask: Ask, row: Row, other: Row, name: str) -> Pair:
    """A response against the other one, which `name` gave, in both orders."""
    said = []
    for pair, meant in zip(((row, other), (other, row)), MEANT, strict=True):
        messages = rubric.comparing(row['prompt'], pair[0]['response'], pair[1]['response'])
        outcome, value, raw = converse(ask, messages, reply.winner)
        letter, reason = value or ('', '')
        said.append((meant.get(letter), outcome, reason, raw))
    verdicts, outcomes, reasons, raws = zip(*said, strict=True)
    return Pair(row['example_id'], name, verdicts, outcomes, reasons, raws)


def every(
    work: Callable[[Any], Any], items: Sequence[Any], concurrency: int, stop: StopSignal,
    progress: Callable[[int, int], None],
) -> list[Any] | None:  # fmt: skip
    """What `work` gives for each item, in their order, in so many threads; None where a stop was asked for.

    What is on its way then is waited for; an error ends all.
    """
    with ThreadPoolExecutor(concurrency) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                progress(done, len(items))
                if stop.requested:
                    return None
        finally:
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]
