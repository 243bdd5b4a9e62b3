"""What tuning made a model forget: base against tuned on the same samples of a task, paired."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxshift.shift import intervals

# The harness keeps the log-likelihood of a sample for these, beside its number of words or bytes where there is one.
# Their logarithm is a mean over samples, which perplexity itself is not: (unit, nats in it).
LOGARITHMS = {
    'perplexity': ('nats per sample', 1.0),
    'word_perplexity': ('nats per word', 1.0),
    'byte_perplexity': ('nats per byte', 1.0),
    'bits_per_byte': ('bits per byte', math.log(2)),
}

Sample = Mapping[str, Any]  # a line of the harness's samples file


class Evaluation(NamedTuple):
    """What a model did: `results`, the object of a results file, and the samples by task."""

    results: Mapping[str, Any]
    samples: Mapping[str, list[Sample]]


def forgetting(base: Evaluation, tuned: Evaluation, resamples: int, seed: int) -> dict[str, Any]:
    """Mean difference, tuned less base, of every metric of every task that has a value for each sample.

    Returns:
      `rows`, one for each task, filter and metric: `base` and `tuned` (means over the samples that both have),
      `difference` and its 95 % bootstrap `interval` (None with fewer than two samples), `n` samples, `unpaired` ones
      (of one model alone, or without a finite value), `unit` ('' for that of the metric itself) and `better`
      ('higher', 'lower' or ''). And `left_out`: metrics without a value for each sample, as 'task metric'.
    """
    rows: list[dict[str, Any]] = []
    left_out = []
    for task in base.samples:
        keyed = [_keyed(model.samples.get(task, ())) for model in (base, tuned)]
        for name, metric in dict.fromkeys((key[0], metric) for side in keyed for key in side for metric in side[key]):
            before, after = (
                {key: value for key, sample in side.items() if key[0] == name and (value := sample.get(metric))}
                for side in keyed
            )
            if not before and not after:
                left_out.append(f'{task} {metric}')
                continue
            direction = base.results.get('higher_is_better', {}).get(task, {}).get(metric)
            better = {True: 'higher', False: 'lower'}.get(direction, '')
            unit = LOGARITHMS[metric][0] if metric in LOGARITHMS else ''
            head = {'task': task, 'filter': name, 'metric': metric, 'unit': unit, 'better': 'lower' if unit else better}
            samples = {key for side in keyed for key in side if key[0] == name}
            rows.append(head | _paired(before, after, len(samples), resamples, seed))
    return {'rows': rows, 'left_out': left_out}


def _keyed(samples: Iterable[Sample]) -> dict[tuple, dict[str, tuple[float, float] | None]]:
    """Values of each sample by metric, under a key that the same sample has whatever the model: filter and document."""
    return {
        (each['filter'], each['doc_id'], each['doc_hash'], each['target_hash']): {
            metric: _value(metric, each[metric]) for metric in each['metrics']
        }
        for each in samples
    }


def _value(metric: str, value: Any) -> tuple[float, float] | None:
    """(value times weight, weight) of a sample, or None where it has none that is a finite number."""
    weight = 1.0
    if metric in LOGARITHMS:
        if isinstance(value, list | tuple) and len(value) == 2:
            value, weight = value
        value = -value / LOGARITHMS[metric][1] if isinstance(value, int | float) else None
    if not isinstance(value, int | float) or not (math.isfinite(value) and weight > 0):
        return None
    return float(value), float(weight)


def _paired(
    base: Mapping[tuple, tuple[float, float]], tuned: Mapping[tuple, tuple[float, float]], samples: int,
    resamples: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    shared = sorted(base.keys() & tuned.keys())
    counted = {'n': len(shared), 'unpaired': samples - len(shared)}
    if not shared:
        return {'base': None, 'tuned': None, 'difference': None, 'interval': None} | counted
    before, after = (np.array([side[key][0] for key in shared]) for side in (base, tuned))
    weights = np.array([base[key][1] for key in shared])
    low, high = (bound.item() for bound in intervals.ratio_intervals(
        (after - before)[:, None], weights[:, None], resamples, seed
    ))  # fmt: skip
    means = {'base': before.sum() / weights.sum(), 'tuned': after.sum() / weights.sum()}
    return {
        **{name: float(mean) for name, mean in means.items()},
        'difference': float((after - before).sum() / weights.sum()),
        'interval': None if math.isnan(low) else [low, high],
        **counted,
    }


def sentence(row: Mapping[str, Any]) -> str:
    """A row in words."""
    name = f'{row["task"]} {row["metric"]}' + ('' if row['filter'] == 'none' else f' ({row["filter"]})')
    counts = f'{row["n"]} samples' + (f', {row["unpaired"]} not paired' if row['unpaired'] else '')
    if row['difference'] is None:
        return f'{name}: nothing to compare ({counts})'
    interval = '' if row['interval'] is None else ' [{:+.4g}, {:+.4g}]'.format(*row['interval'])
    unit = f' {row["unit"]}' if row['unit'] else ''
    return f'{name} {row["base"]:.4g} to {row["tuned"]:.4g}, {row["difference"]:+.4g}{interval}{unit} ({counts})'
