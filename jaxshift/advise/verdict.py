"""The rule: from what the base foresees of the data to the method.

What an answer alone has to know (its specific words, see `words.kinds`) the base foresees where it has read about the
subject. How often depends on its size and tokenizer too, so the data are held to general text, answer by answer
(`evidence.relative`): from `KNOWN` on the base knows the subject, below `UNKNOWN` it does not.

- known: LoRA. There is nothing to learn but the manner, and LoRA moves little else.
- half known: full tuning, which learns the facts that are new, at the price of some that are not in the data.
- unknown: pre-train further first. LoRA stays at chance on such facts, and full tuning on answers alone teaches the
  answers, not the subject.

Where half of the answers or more are short, they are asked instead: the share that the base's greedy answer gets right
is held to the same bounds. These were set in the controlled world (python -m benchmarks.advise), where known,
half-known and unknown subjects lie near 1, 0.5 and 0.05.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KNOWN, UNKNOWN = 0.8, 0.3
FEW = 20  # specific words, or short answers, below which the data do not tell
SHORT_SHARE = 0.5  # of the answers: from here on short answers decide

METHODS = {'known': 'lora', 'half known': 'full', 'unknown': 'pretrain'}
SAID = {'lora': 'LoRA', 'full': 'full-parameter tuning', 'pretrain': 'pre-train further first'}
_WHY = {
    'lora': 'the base knows the subject, so tuning need only teach the manner',
    'full': 'the base knows a part of the subject; full tuning learns the rest, so watch what it forgets',
    'pretrain': 'the base does not know the subject; let it read plain text about it (a run of method pretrain), then '
    'ask again',
}


def decide(relative: Mapping[str, Any], words: int, short: Mapping[str, Any]) -> dict[str, Any]:
    """The advice.

    Args:
      relative: of `evidence.relative`.
      words: specific words behind it.
      short: `share` of the answers that are short, `asked` of them, `right` share of the base's greedy answers.

    Returns:
      method (lora, full or pretrain), subject (known, half known, unknown), by (specific words, short answers, or
      nothing specific), value and interval of what decided, close (whether the interval holds a bound), because (a
      sentence).
    """
    if short['share'] >= SHORT_SHARE and short['asked'] >= FEW:
        by, value, interval = 'short answers', short['right'], short['interval']
        seen = f'its greedy answer is right on {100 * value:.0f} % of {short["asked"]} short answers'
    elif words >= FEW and relative['share'] is not None:
        by, value, interval = 'specific words', relative['share'], relative['interval']
        seen = f'it foresees what an answer alone has to know {value:.2f} times as well as general text'
    else:
        by, value, interval = 'nothing specific', None, None
        seen = f'the answers have only {words} specific words that could be known or not'
    subject = 'known' if value is None or value >= KNOWN else 'half known' if value >= UNKNOWN else 'unknown'
    method = METHODS[subject]
    close = interval is not None and any(interval[0] < bound < interval[1] for bound in (KNOWN, UNKNOWN))
    why = _WHY[method] if value is not None else 'there is little to know, so tuning need only teach the manner'
    return {
        'method': method, 'subject': subject, 'by': by, 'value': value, 'interval': interval, 'close': close,
        'bounds': [UNKNOWN, KNOWN], 'because': f'{why}: {seen}',
    }  # fmt: skip
