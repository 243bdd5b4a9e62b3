"""summary.json: what a run's token records say, one object per (context, template, context_length)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxshift.errors import InputError, RunFailed
from jaxshift.shift import aligntds, curves, intervals
from jaxshift.shift.classes import CLASSES
from jaxshift.store import paths

GROUP = ('run', 'context', 'template', 'context_length')
PLAIN = {'context': 'own', 'template': 'matched', 'context_length': -1}  # the windows that a study shows if it has them
POSITIONS = ('all', 'without_end')
_IN_SENTENCES = {'': 'kl_tuned_base', 'aligntds_': 'aligntds_kl'}  # prefix to the divergence told by place
QUANTILES = {'median': 0.5, '90%': 0.9, '95%': 0.95, '99%': 0.99, '99.9%': 0.999}
COLUMNS = (
    'run', 'context', 'template', 'context_length', 'example_id', 'position', 'token_id', 'base_argmax_id',
    'tuned_argmax_id', 'base_rank', 'base_logprob', 'tuned_logprob', 'emitted_base_logprob', 'emitted_tuned_logprob',
    'kl_tuned_base', 'kl_base_tuned', 'js', 'total_variation', 'base_entropy', 'tuned_entropy', 'shift_class',
)  # fmt: skip


def summarise(
    table: pa.Table,
    pieces: curves.Pieces,
    end_ids: Collection[int],
    seed: int = 0,
    bootstrap: int = 1000,
    extra: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    samples: int = 1,
) -> list[dict[str, Any]]:
    """The objects of summary.json.

    Each has the keys of `GROUP`, those of `extra` for its windows, and under 'all' (every position) and 'without_end'
    (those whose emitted token is no end token) the figures of `_figures`. `bootstrap` prompts are resampled that often,
    from `seed`.

    Args:
      table: records with at least `COLUMNS`.
      pieces: token id -> decoded text, for the sentences.
      extra: by context and template, what is written into their objects: method, learning_rate, counts of what was
        skipped, ...
      samples: responses of each prompt, which are resampled together.

    Raises:
      RunFailed: a measure is not finite.
    """
    _check_finite(table)
    return [
        {
            **key,
            **(extra or {}).get((key['context'], key['template']), {}),
            'sentences': {'rule': curves.SENTENCE_RULE, 'start': curves.START_RULE},
            'bootstrap': {'resamples': bootstrap, 'unit': 'prompt', 'level': intervals.LEVEL, 'seed': seed},
            **{
                name: _figures(rows, pieces, end_ids, seed, bootstrap, samples)
                for name, rows in _choices(part, end_ids)
            },
        }
        for key, part in groups(table)
    ]


def groups(table: pa.Table) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """The rows of each run, context, template and context length (and step, where there is one), in order."""
    names = [*GROUP, *(['step'] if 'step' in table.column_names else [])]
    keys = table.select(names).group_by(names, use_threads=False).aggregate([]).to_pylist()
    for key in keys:
        chosen = [pc.equal(table[name], value) for name, value in key.items()]
        mask = chosen[0]
        for other in chosen[1:]:
            mask = pc.and_(mask, other)
        yield key, curves.in_order(table.filter(mask))


def headline(summaries: Collection[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The windows to show of some runs (the objects of each): those that most of them have, the plain ones first."""
    counts = Counter(key for objects in summaries for key in {_windows(item): None for item in objects})
    plain, most = _windows(PLAIN), max(counts.values())
    return dict(zip(PLAIN, next(key for key in (plain, *counts) if counts[key] == most), strict=True))


def of_windows(objects: Sequence[dict[str, Any]], windows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of these windows, of which that of the last step comes first."""
    return [item for item in objects if windows.items() <= item.items()]


def described(windows: Mapping[str, Any]) -> str:
    """Windows in words: 'context own, template matched, whole prompts'."""
    length = windows['context_length']
    kept = 'whole prompts' if length == -1 else f'prompt tokens kept: {length}'
    return f'context {windows["context"]}, template {windows["template"]}, {kept}'


def _windows(item: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(item[name] for name in PLAIN)


def without_end(table: pa.Table, end_ids: Collection[int]) -> pa.Table:
    """The rows whose emitted token is not an end token."""
    return table.filter(pa.array(~np.isin(table['token_id'].to_numpy(), list(end_ids))))


def _choices(part: pa.Table, end_ids: Collection[int]) -> Iterator[tuple[str, pa.Table]]:
    yield 'all', part
    yield 'without_end', without_end(part, end_ids)


def _check_finite(table: pa.Table) -> None:
    for name in COLUMNS:
        if not pa.types.is_floating(table.schema.field(name).type):
            continue
        bad = np.flatnonzero(~np.isfinite(table[name].to_numpy()))
        if len(bad):
            row = table.slice(int(bad[0]), 1).to_pylist()[0]
            raise RunFailed(
                f'run {row["run"]}, example {row["example_id"]}, position {row["position"]}: {name} is {row[name]} '
                f'({len(bad)} positions in all); check the weights and the dtype of the comparison'
            )


def _figures(
    rows: pa.Table, pieces: curves.Pieces, end_ids: Collection[int], seed: int, bootstrap: int, samples: int
) -> dict[str, Any]:
    """Counts, then for each measure the pooled mean over positions with its interval (see `intervals`).

    'mean_of_response_means' weighs every response alike instead. KLs, entropies and JS are in nats; base_probability
    is the base's probability of the tuned argmax; base_rank is 1-based; same_top_1, emitted_is_tuned_argmax and shares
    are in percent. sentence_start and sentence_rest are the mean KL(tuned||base) of `curves.sentence_starts` and the
    other positions; the first of the two has `percent_of_positions`, which is above 5 because sentences are short.
    Where the compat columns are there, aligntds_sentence_start and aligntds_sentence_rest are those of aligntds_kl.
    """
    values = _values(rows)
    response, responses = curves.response_index(rows)
    prompt, prompts = curves.prompt_of_response(responses, samples)
    start = curves.sentence_starts(rows, pieces, end_ids)
    kl = values['kl_tuned_base']
    weights = {name: np.ones(rows.num_rows) for name in values}
    for prefix, column in _IN_SENTENCES.items():
        if column in values:
            weights |= {f'{prefix}sentence_start': start.astype(float), f'{prefix}sentence_rest': 1.0 - start}
            values |= {
                f'{prefix}sentence_start': values[column] * start,
                f'{prefix}sentence_rest': values[column] * ~start,
            }
    names = list(values)
    sums = np.stack([np.bincount(response, values[name], len(responses)) for name in names], axis=1)
    counts = np.stack([np.bincount(response, weights[name], len(responses)) for name in names], axis=1)
    # Every figure is a ratio of two sums per prompt, so one set of resamples serves them all.
    by_prompt = [np.zeros((prompts, len(names))) for _ in range(2)]
    for total, part in zip(by_prompt, (sums, counts), strict=True):
        np.add.at(total, prompt, part)
    low, high = intervals.ratio_intervals(by_prompt[0], by_prompt[1], bootstrap, seed)
    means = {name: _mean(sums[:, i], counts[:, i], low[i], high[i]) for i, name in enumerate(names)}
    for name in ('sentence_start', 'sentence_rest'):
        means[name]['positions'] = int(weights[name].sum())
    share = 100 * float(start.mean()) if len(start) else None
    means['sentence_start']['percent_of_positions'] = share
    means['kl_tuned_base'] |= _quantiles(kl)
    return {
        'positions': rows.num_rows,
        'responses': len(responses),
        'prompts': prompts,
        **{name: figures for name, figures in means.items() if name not in CLASSES},
        'shares': {name: means[name] for name in CLASSES},
    }


def _values(rows: pa.Table) -> dict[str, np.ndarray]:
    """What is averaged over positions, float64 [N] each."""
    column = {name: rows[name].to_numpy() for name in COLUMNS if name not in (*GROUP, 'example_id', 'shift_class')}
    label = np.asarray(rows['shift_class'].to_pylist(), dtype=object)
    measured = ('kl_tuned_base', 'kl_base_tuned', 'js', 'total_variation', 'base_entropy', 'tuned_entropy')
    values = {
        **{name: column[name] for name in measured},
        'base_probability': np.exp(column['base_logprob'].astype(np.float64)),
        'base_rank': column['base_rank'],
        'emitted_base_logprob': column['emitted_base_logprob'],
        'emitted_tuned_logprob': column['emitted_tuned_logprob'],
        'same_top_1': 100.0 * (column['base_argmax_id'] == column['tuned_argmax_id']),
        'emitted_is_tuned_argmax': 100.0 * (column['token_id'] == column['tuned_argmax_id']),
        **{name: 100.0 * (label == name) for name in CLASSES},
        **{name: rows[name].to_numpy() for name in aligntds.COLUMNS if name in rows.column_names},
    }
    return {name: np.asarray(array, np.float64) for name, array in values.items()}


def _mean(sums: np.ndarray, counts: np.ndarray, low: float, high: float) -> dict[str, Any]:
    if not counts.sum():
        return {'mean': None, 'interval': None, 'mean_of_response_means': None}
    present = counts > 0
    return {
        'mean': float(sums.sum() / counts.sum()),
        'interval': None if math.isnan(low) else [float(low), float(high)],
        'mean_of_response_means': float((sums[present] / counts[present]).mean()),
    }


def _quantiles(kl: np.ndarray) -> dict[str, float | None]:
    if not len(kl):
        return {**dict.fromkeys(QUANTILES), 'greatest': None}
    return {
        **dict(zip(QUANTILES, np.quantile(kl, list(QUANTILES.values())).tolist(), strict=True)),
        'greatest': float(kl.max()),
    }


def write(path: str | Path, objects: list[dict[str, Any]]) -> None:
    """Writes summary.json, whole or not at all; a NaN is a ValueError, absent figures are null."""
    paths.write_json(Path(path), objects)


def read(path: str | Path) -> list[dict[str, Any]]:
    """The objects of a summary.json.

    Raises:
      InputError: the file is missing or no JSON list.
    """
    try:
        objects = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InputError(f'{path}: cannot be read ({error}); run the sweep (--mode=sweep) again') from error
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise InputError(f'{path}: not a list of objects; run the sweep (--mode=sweep) again')
    return objects
