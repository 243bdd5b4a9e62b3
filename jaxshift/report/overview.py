"""What the page says first: whether tuning did anything, and how much longer responses became."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxshift.report.results import Results
from jaxshift.report.tables import Row
from jaxshift.report.wording import number
from jaxshift.respond.responses import prompt_of
from jaxshift.shift import intervals

LITTLE = 1.0  # percent of positions with another top token, below which a run hardly says anything else


def verdict(rows: Sequence[Row]) -> str:
    """Did tuning do anything? One line with its reason, from rows of `tables.overview`, one a run.

    Yes where at least `LITTLE` percent of positions have another top token than the base's, by the lower end of the
    interval; hardly where the upper end is below; perhaps between; no where no position has a KL above zero.
    """
    known = [row for row in rows if row['same_top_1'] is not None]
    if not known:
        return 'Nothing was compared.'
    told: dict[str, list[str]] = {'yes': [], 'perhaps': [], 'hardly': [], 'no': []}
    for row in known:
        told[_answer(row)].append(row['run'])
    answers = '; '.join(f'{answer} in {_named(runs, len(known))}' for answer, runs in told.items() if runs)
    ends = [choose(known, key=_other_top) for choose in (min, max)] if len(known) > 1 else known
    shares = ' to '.join(_share(row) for row in ends)
    kls = ' to '.join(
        number(value) for value in sorted({choose(row['kl_tuned_base'] for row in known) for choose in (min, max)})
    )
    bound = f' Hardly is below {LITTLE:g} %, perhaps where the interval holds it.'
    return (
        f'{answers[0].upper()}{answers[1:]}: another top token than the base’s at {shares} of positions, a mean '
        f'KL(tuned ‖ base) of {kls} nats.{bound if told["perhaps"] or told["hardly"] else ""}'
    )


def _named(runs: Sequence[str], all_runs: int) -> str:
    return f'all {len(runs)} runs' if len(runs) == all_runs > 2 else ', '.join(runs)


def _other_top(row: Row) -> float:
    return 100 - row['same_top_1']


def _answer(row: Row) -> str:
    if row['kl_tuned_base_greatest'] == 0:
        return 'no'
    low, high = row['same_top_1_low'], row['same_top_1_high']
    least, most = (_other_top(row),) * 2 if low is None else (100 - high, 100 - low)
    if least >= LITTLE:
        return 'yes'
    return 'hardly' if most < LITTLE else 'perhaps'


def _share(row: Row) -> str:
    low, high = row['same_top_1_low'], row['same_top_1_high']
    spread = '' if low is None else f' [{number(100 - high)}, {number(100 - low)}]'
    return f'{number(_other_top(row))} %{spread} ({row["run"]})'


def add_length_ratios(rows: Sequence[Row], found: Results, bootstrap: int, seed: int) -> None:
    """Adds to rows of runs `length_ratio`: tokens of their responses over those of the base's, with its interval.

    Of the prompts that both answered, which are resampled `bootstrap` times; None where the base answered none.
    """
    for row in rows:
        row |= _length_ratio(found.responses[row['run']], found.base_responses, found.samples, bootstrap, seed)


def _length_ratio(
    tuned: dict[str, Row], base: dict[str, Row], samples: int, bootstrap: int, seed: int
) -> dict[str, Any]:
    lengths: dict[str, np.ndarray] = {}
    for example, row in tuned.items():
        other = base.get(example)
        if other is not None and other['prompt_token_ids'] == row['prompt_token_ids']:
            both = np.array([len(row['token_ids']), len(other['token_ids'])], np.float64)
            prompt = prompt_of(example, samples)
            lengths[prompt] = lengths.get(prompt, 0) + both
    pairs = np.array(list(lengths.values())).reshape(-1, 2)
    total = pairs.sum(axis=0)
    if not total.all():
        return dict.fromkeys(('length_ratio', 'length_ratio_low', 'length_ratio_high'))
    low, high = intervals.ratio_intervals(pairs[:, :1], pairs[:, 1:], bootstrap, seed)
    spread = (None, None) if np.isnan(low[0]) else (float(low[0]), float(high[0]))
    return {'length_ratio': float(total[0] / total[1]), 'length_ratio_low': spread[0], 'length_ratio_high': spread[1]}
