"""Do responses become as long, and as formed, as the answers that tuning saw; and does length cost truth?

Table 11 and Fig. 6 of arXiv 2402.05119, with what they lack: characters, words and tokens apart (the "token lengths" of
Table 11 are almost certainly characters), intervals, the base's own responses to the same prompts beside them, and a
slope of score on length within prompts, which holds the question fixed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxshift.causes import categories
from jaxshift.shift import intervals

QUANTILES = (5, 25, 50, 75, 95)
OPENING = 3  # words that a text is said to open with
_OPENING_CHARACTERS = 100  # of them: without blanks, as in Chinese or a URL, the whole text is one word
_DRAWS = 200  # of the data behind the overlap that chance allows
_BEGINNING = 200  # characters in which the first word is looked for

_ITEM = re.compile(r'^[ \t]*(?:[-*•+]|\d{1,3}[.)])[ \t]+(?=\S)', re.MULTILINE)
_HEADING = re.compile(r'^(?:#{1,6}[ \t]+\S|\*\*[^*\n]+\*\*:?[ \t]*$)', re.MULTILINE)
_SENTENCE_END = re.compile(r'[.!?…。！？]+["\'”’)\]]*(?=\s|$)|\n+')

Figures = dict[str, Any]


def opening(text: str) -> str:
    """Its first words, in small letters."""
    return ' '.join(text.lower().split()[:OPENING])[:_OPENING_CHARACTERS]


def form(text: str) -> dict[str, float]:
    """What can be seen of a text without understanding it.

    Returns:
      characters; words, runs without a blank; sentences, at least 1; and 0 or 1: list (two list items or more, each a
      line), heading (a line of Markdown's, or one that is bold), opener (the first word is of kind discourse opener or
      politeness, see `categories`).
    """
    kinds = categories.of_text(text[:_BEGINNING])
    first = kinds[kinds >= 0][:1]
    return {
        'characters': len(text),
        'words': len(text.split()),
        'sentences': max(1, sum(bool(part.strip()) for part in _SENTENCE_END.split(_ITEM.sub('', text)))),
        'list': float(len(_ITEM.findall(text)) > 1),
        'heading': float(bool(_HEADING.search(text))),
        'opener': float(bool(np.isin(first, (categories.OPENER, categories.POLITE)).any())),
    }


def profile(
    texts: Sequence[str], tokens: Sequence[int], prompts: Sequence[str], bootstrap: int, seed: int
) -> Figures | None:
    """Length and form of some texts; None of none.

    Args:
      texts: answers or responses.
      tokens: of each of them, without end tokens.
      prompts: what each of them answers: resamples draw these, since samples of one prompt are alike.
      bootstrap, seed: resamples, and where they begin.

    Returns:
      texts and prompts, their numbers; tokens and each figure of `form`: mean, low, high; quantiles of characters,
      words and tokens at QUANTILES; and openings, the ten most frequent with their counts.
    """
    if not texts:
        return None
    rows = [{**form(text), 'tokens': float(count)} for text, count in zip(texts, tokens, strict=True)]
    names, place = np.unique(np.asarray(prompts, dtype=object).astype(str), return_inverse=True)
    values = np.array([[row[name] for name in rows[0]] for row in rows], np.float64)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, place, values)
    counts = np.repeat(np.bincount(place)[:, None].astype(np.float64), values.shape[1], axis=1)
    low, high = intervals.ratio_intervals(sums, counts, bootstrap, seed)
    found: Figures = {'texts': len(texts), 'prompts': len(names)}
    for column, name in enumerate(rows[0]):
        found[name] = {
            'mean': float(values[:, column].mean()),
            'low': _number(low[column]),
            'high': _number(high[column]),
        }
        if name in ('characters', 'words', 'tokens'):
            found[name]['quantiles'] = np.percentile(values[:, column], QUANTILES).tolist()
    found['openings'] = Counter(map(opening, texts)).most_common(10)
    return found


def compare(sources: Mapping[str, Sequence[str]], seed: int) -> dict[str, float | None]:
    """How much texts open like the data: one less the total variation between their `opening`s, from 0 to 1.

    Args:
      sources: texts of the data, tuned (responses) and base (responses); any may be missing.
      seed: of draws from the data.

    Returns:
      tuned and base; and ceiling, the overlap that as many texts of the data itself would have with the rest of it:
      few texts of many openings never overlap wholly, even where one writer made both. It is the mean of draws, of
      which 95 % lie between ceiling_low and ceiling_high.
    """
    opened = {name: list(map(opening, sources.get(name, ()))) for name in ('data', 'tuned', 'base')}
    known, place = np.unique(np.array(sum(opened.values(), []), dtype=object).astype(str), return_inverse=True)
    ends = np.cumsum([len(each) for each in opened.values()])
    data, tuned, base = (np.bincount(part, minlength=len(known)) for part in np.split(place, ends[:-1]))
    return {
        'tuned': _overlap(tuned, data) if tuned.any() and data.any() else None,
        'base': _overlap(base, data) if base.any() and data.any() else None,
        **_ceiling(place[: ends[0]], len(opened['tuned']), seed),
    }


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.minimum(one / one.sum(), other / other.sum()).sum())


def _ceiling(places: np.ndarray, size: int, seed: int) -> dict[str, float | None]:
    """The overlap of `size` texts, at most half of all, with the rest; `places` number the openings."""
    names, size = ('ceiling', 'ceiling_low', 'ceiling_high'), min(size, len(places) // 2)
    if not size:
        return dict.fromkeys(names)
    rng, width = np.random.default_rng(seed), int(places.max()) + 1
    drawn = (np.split(rng.permutation(places), [size]) for _ in range(_DRAWS))
    found = [_overlap(*(np.bincount(part, minlength=width) for part in parts)) for parts in drawn]
    return dict(zip(names, (float(np.mean(found)), *np.quantile(found, intervals.TAILS).tolist()), strict=True))


def slope(
    score: np.ndarray, log_length: np.ndarray, prompt: np.ndarray, within: bool, bootstrap: int, seed: int
) -> Figures:
    """The least-squares slope of a score on log length, all [N], with an interval over prompts.

    Args:
      score: of responses.
      log_length: of the same, to base 2: the slope is what a response twice as long scores more.
      prompt: int, what each answers, from 0.
      within: both are taken less their means over the prompt: responses are compared with those of the same question,
        so a question that is hard and asks for length does not make the slope. A prompt with one response says nothing.
      bootstrap, seed: resamples of the prompts, and where they begin.

    Returns:
      responses, prompts; spread, the standard deviation of the log lengths that are compared; slope, low, high (None
      where there is no line).
    """
    size = int(prompt.max(initial=-1)) + 1
    number = np.bincount(prompt, minlength=size)
    x, y = np.asarray(log_length, np.float64), np.asarray(score, np.float64)
    if within:
        x, y = (each - (np.bincount(prompt, each, size) / number)[prompt] for each in (x, y))
        kept = number[prompt] > 1
        x, y, prompt = x[kept], y[kept], np.unique(prompt[kept], return_inverse=True)[1]
        size = int(prompt.max(initial=-1)) + 1
    sums = np.stack([np.bincount(prompt, each, size) for each in (np.ones_like(x), x, y, x * x, x * y)], axis=1)
    found: Figures = {'responses': len(x), 'prompts': size, 'spread': float(x.std()) if size else None}
    found |= dict.fromkeys(('slope', 'low', 'high'))
    whole = _line(sums.sum(axis=0)[None]) if size else np.array([math.nan])
    if not math.isnan(whole[0]):
        found['slope'] = float(whole[0])
        drawn = np.concatenate([_line(weights @ sums) for weights in intervals.resamples(size, bootstrap, seed)])
        if size > 2 and not np.isnan(drawn).all():
            found['low'], found['high'] = (float(each) for each in np.nanquantile(drawn, intervals.TAILS))
    return found


def _line(sums: np.ndarray) -> np.ndarray:
    """Slopes [b] from sums [b, 5] of 1, x, y, xx, xy; NaN where all x are one."""
    n, x, y, xx, xy = sums.T
    spread = xx - x * x / n
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(spread > 1e-9 * np.maximum(n, 1), (xy - x * y / n) / spread, math.nan)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
