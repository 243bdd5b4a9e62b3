"""The report's tables as lists of flat rows, and their way into CSV and Parquet."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from jaxshift.shift.classes import CLASSES
from jaxshift.shift.curves import Curve, Pieces, ratio

Row = dict[str, Any]

_MARKED = ('=', '+', '-', '@', '\t', '\r', "'")  # begin a formula, or look like the mark before one
_MOST_TOKENS = 125  # the number of tokens in Fig. 12 of arXiv 2402.05119


def overview(summaries: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Mapping[str, Sequence[Row]],
             configs: Mapping[str, Mapping[str, Any]], positions: str) -> list[Row]:  # fmt: skip
    """One row for each run and object of its summary.json; `positions` is 'all' or 'without_end'.

    A mean stands under the name of its measure, the interval under `<name>_low` and `<name>_high`; class shares are
    in percent. A run's method and learning rate come from its summary, else from its config; a run that was tuned
    elsewhere ('given') has no learning rate.
    """
    rows = []
    for run, objects in summaries.items():
        for item in objects:
            method = item.get('method', configs.get(run, {}).get('method', ''))
            rate = item.get('learning_rate', configs.get(run, {}).get('learning_rate'))
            figures = item[positions]
            # A checkpoint has seen the steps up to its own.
            trained = [row for row in metrics.get(run, ()) if row['step'] <= item.get('step', row['step'])]
            row = {
                'run': run,
                'method': method,
                'learning_rate': None if method == 'given' else rate,
                'trainable_parameters': item.get('trainable_parameters'),
                'steps': item.get('step', trained[-1]['step'] if trained else None),
                'final_loss': final_loss(trained),
                **{key: item[key] for key in ('context', 'template', 'context_length', 'step') if key in item},
                'positions_counted': positions,
                'positions': figures['positions'],
                'responses': figures['responses'],
            }
            for name, mean in [*figures.items(), *figures['shares'].items()]:
                if isinstance(mean, Mapping) and 'mean' in mean:
                    low, high = mean['interval'] or (None, None)
                    row |= {name: mean['mean'], f'{name}_low': low, f'{name}_high': high}
            row['kl_tuned_base_response_mean'] = figures['kl_tuned_base']['mean_of_response_means']
            row['sentence_start_percent'] = figures['sentence_start']['percent_of_positions']
            for name in ('median', '90%', '95%', '99%', '99.9%', 'greatest'):
                row[f'kl_tuned_base_{name}'] = figures['kl_tuned_base'][name]
            rows.append(row)
    return rows


def final_loss(rows: Sequence[Row]) -> float | None:
    """The mean loss of the last tenth of the logged steps (at least one): a single batch is noisy."""
    if not rows:
        return None
    last = rows[-max(1, len(rows) // 10) :]
    return sum(row['loss'] for row in last) / len(last)


def top_tokens(table: pa.Table, pieces: Pieces, end_ids: Collection[int]) -> list[Row]:
    """The tuned model's choices that are most often shifted, then marginal: one row a token, most frequent first.

    `chosen` counts the positions where the token is the tuned argmax; shares of all shifted positions are in percent,
    once with the end token and once without.
    """
    chosen = table['tuned_argmax_id'].to_numpy()
    label = np.asarray(table['shift_class'].to_pylist(), dtype=object)
    kl = table['kl_tuned_base'].to_numpy().astype(np.float64)
    ids, inverse = np.unique(chosen, return_inverse=True)
    counts = {name: np.bincount(inverse[label == name], minlength=len(ids)) for name in CLASSES}
    total = np.bincount(inverse, minlength=len(ids))
    mean_kl = np.bincount(inverse, kl, len(ids)) / np.maximum(total, 1)
    is_end = np.isin(ids, list(end_ids))
    shifted, marginal = counts['shifted'], counts['marginal']
    order = np.lexsort((ids, -marginal, -shifted))
    order = order[(shifted + marginal)[order] > 0][:_MOST_TOKENS]
    all_shifted, other_shifted = int(shifted.sum()), int(shifted[~is_end].sum())
    return [
        {
            'token_id': int(ids[i]),
            'token': pieces[int(ids[i])],
            'is_end': bool(is_end[i]),
            'shifted': int(shifted[i]),
            'marginal': int(marginal[i]),
            'chosen': int(total[i]),
            'percent_of_shifted': _percent(shifted[i], all_shifted),
            'percent_of_shifted_without_end': None if is_end[i] else _percent(shifted[i], other_shifted),
            'mean_kl_tuned_base': float(mean_kl[i]),
        }
        for i in order
    ]


def _percent(part: int, whole: int) -> float | None:
    return 100 * float(part) / whole if whole else None


def curve_rows(curve: Curve, **key: Any) -> list[Row]:
    """A curve as rows: the given key, then at, mean, low, high, n, prompts."""
    names = ('at', 'mean', 'low', 'high', 'n', 'prompts')
    columns = [getattr(curve, name).tolist() for name in names]
    return [{**key, **dict(zip(names, map(_none, values), strict=True))} for values in zip(*columns, strict=True)]


def _none(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else value


def forgetting(found: Mapping[str, Sequence[Row]]) -> list[Row]:
    """One row for each run and row of its forgetting.json, the bounds of the interval in columns of their own."""
    rows = []
    for run, items in found.items():
        for item in items:
            low, high = item['interval'] or (None, None)
            rows.append({'run': run, **item, 'difference_low': low, 'difference_high': high})
            del rows[-1]['interval']
    return rows


def save(rows: Sequence[Row], folder: str | Path, name: str) -> None:
    """Writes NAME.csv and NAME.parquet; the columns are all keys of the rows in order of appearance.

    A text that a spreadsheet would read as a formula has an apostrophe before it in the CSV: models write such texts.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({key: pa.array([row.get(key) for row in rows]) for key in names})
    table = table.cast(pa.schema([f if f.type != pa.null() else pa.field(f.name, pa.float64()) for f in table.schema]))
    texts = {key: pa.array(_inert(table[key].to_pylist())) for key in names if table[key].type == pa.string()}
    pa_csv.write_csv(pa.table({key: texts.get(key, table[key]) for key in names}), folder / f'{name}.csv')
    pq.write_table(table, folder / f'{name}.parquet')


def _inert(texts: Sequence[str | None]) -> list[str | None]:
    return [f"'{text}" if text and text.startswith(_MARKED) else text for text in texts]


def pairs(
    rows: Sequence[Row], tokens: Mapping[str, pa.Table], bootstrap: int, seed: int, samples: int = 1
) -> list[Row]:
    """Full training against LoRA: mean KL of one over the other, prompts resampled together.

    The pairs are those of equal learning rate, and the one whose final losses are closest ('why' says which): one
    learning rate for both methods confounds the shift with how well each was optimised. `samples`: see `curves.ratio`.
    """
    result = []
    for why, a, b in counterparts(rows):
        both = tokens[a['run']], tokens[b['run']]
        value, low, high, prompts = ratio(*both, 'kl_tuned_base', bootstrap, seed, samples)
        sides = {f'{name}_{key}': row[key] for name, row in (('full', a), ('lora', b))
                 for key in ('run', 'learning_rate', 'final_loss', 'kl_tuned_base')}  # fmt: skip
        spread = {'ratio': _none(value), 'low': _none(low), 'high': _none(high), 'prompts': prompts}
        result.append({'why': why, **sides, **spread})
    return result


def counterparts(rows: Sequence[Row]) -> list[tuple[str, Row, Row]]:
    """Of rows of `overview` the full and LoRA runs that are held against each other, and why."""
    full = [row for row in rows if row['method'] == 'full']
    lora = [row for row in rows if row['method'] == 'lora']
    chosen = {(a['run'], b['run']): (['same learning rate'], a, b)
              for a in full for b in lora if a['learning_rate'] == b['learning_rate']}  # fmt: skip
    known = [(a, b) for a in full for b in lora if a['final_loss'] is not None and b['final_loss'] is not None]
    if known:
        a, b = min(known, key=lambda pair: abs(pair[0]['final_loss'] - pair[1]['final_loss']))
        chosen.setdefault((a['run'], b['run']), ([], a, b))[0].append('closest final loss')
    return [(' and '.join(why), a, b) for why, a, b in chosen.values()]
