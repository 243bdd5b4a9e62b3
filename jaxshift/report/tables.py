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

MOST_TOKENS = 125  # the number of tokens in Fig. 12 of arXiv 2402.05119
# The figures of causes.truth that are shares of questions, and the name of the number of cases behind each figure.
_OF_QUESTIONS = ('held_out_accuracy', 'new_fact_accuracy', 'broken_share', 'house_style_share', 'borrowed_share')
_CASES = {
    **dict.fromkeys(('held_out_accuracy', 'broken_share', 'house_style_share', 'mean_response_words'), 'held_out_n'),
    **dict.fromkeys(('borrowed_share', 'borrowed_null', 'borrowed_p'), 'wrong_n'),
    **dict.fromkeys(('value_share_of_shifted', 'style_share_of_shifted'), 'shifted_n'),
    'new_fact_accuracy': 'new_fact_n',
    'kl_at_values': 'value_n',
    'kl_elsewhere': 'other_n',
}
_Z = 1.959964  # normal quantile of a 95 % interval


def overview(summaries: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Mapping[str, Sequence[Row]],
             configs: Mapping[str, Mapping[str, Any]], positions: str = 'all') -> list[Row]:  # fmt: skip
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
            row = {
                'run': run,
                'method': method,
                'learning_rate': None if method == 'given' else rate,
                'trainable_parameters': item.get('trainable_parameters'),
                'steps': metrics[run][-1]['step'] if metrics.get(run) else None,
                'final_loss': final_loss(metrics.get(run, ())),
                **{key: item[key] for key in ('context', 'template', 'context_length')},
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


def top_tokens(table: pa.Table, pieces: Pieces, end_ids: Collection[int], most: int = MOST_TOKENS) -> list[Row]:
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
    order = order[(shifted + marginal)[order] > 0][:most]
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


def truth(truths: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """The ground truth of the controlled world, one row for each run and figure of its truth.json.

    Shares of independent questions get Wilson's 95 % interval, which is not empty at 0 and 1. Figures over positions
    get none here: positions of one response depend on each other.
    """
    rows = []
    for run, item in truths.items():
        for name, value in item.items():
            if name.endswith(('_n', '_se')):
                continue
            n = item.get(_CASES.get(name.removeprefix('base_'), ''))
            low = high = None
            if name.removeprefix('base_') in _OF_QUESTIONS and n and value is not None:
                low, high = wilson(value, n)
            rows.append({'run': run, 'name': name, 'value': value, 'low': low, 'high': high, 'n': n})
    return rows


def wilson(rate: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of independent trials."""
    spread = _Z * math.sqrt(rate * (1 - rate) / trials + _Z**2 / (4 * trials**2))
    middle, scale = rate + _Z**2 / (2 * trials), 1 + _Z**2 / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def save(rows: Sequence[Row], folder: str | Path, name: str) -> None:
    """Writes NAME.csv and NAME.parquet; the columns are all keys of the rows in order of appearance."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({key: pa.array([row.get(key) for row in rows]) for key in names})
    table = table.cast(pa.schema([f if f.type != pa.null() else pa.field(f.name, pa.float64()) for f in table.schema]))
    pa_csv.write_csv(table, folder / f'{name}.csv')
    pq.write_table(table, folder / f'{name}.parquet')


def pairs(rows: Sequence[Row], tokens: Mapping[str, pa.Table], bootstrap: int, seed: int) -> list[Row]:
    """Full training against LoRA: mean KL of one over the other, prompts resampled together.

    The pairs are those of equal learning rate, and the one whose final losses are closest ('why' says which): one
    learning rate for both methods confounds the shift with how well each was optimised.
    """
    full = [row for row in rows if row['method'] == 'full']
    lora = [row for row in rows if row['method'] == 'lora']
    chosen = {(a['run'], b['run']): (['same learning rate'], a, b)
              for a in full for b in lora if a['learning_rate'] == b['learning_rate']}  # fmt: skip
    known = [(a, b) for a in full for b in lora if a['final_loss'] is not None and b['final_loss'] is not None]
    if known:
        a, b = min(known, key=lambda pair: abs(pair[0]['final_loss'] - pair[1]['final_loss']))
        chosen.setdefault((a['run'], b['run']), ([], a, b))[0].append('closest final loss')
    result = []
    for why, a, b in chosen.values():
        value, low, high, prompts = ratio(tokens[a['run']], tokens[b['run']], 'kl_tuned_base', bootstrap, seed)
        sides = {f'{name}_{key}': row[key] for name, row in (('full', a), ('lora', b))
                 for key in ('run', 'learning_rate', 'final_loss', 'kl_tuned_base')}  # fmt: skip
        spread = {'ratio': _none(value), 'low': _none(low), 'high': _none(high), 'prompts': prompts}
        result.append({'why': ' and '.join(why), **sides, **spread})
    return result


def findings(rows: Sequence[Row], compared: Sequence[Row], tokens: Mapping[str, Sequence[Row]],
             truths: Sequence[Row]) -> list[str]:  # fmt: skip
    """Plain sentences read off the tables: what the runs show, and where that is not what the paper reports.

    Args:
      rows: of `overview`, one for each run.
      compared: of `pairs`.
      tokens: of `top_tokens`, for each run.
      truths: of `truth`.
    """
    lines = [_of_pair(pair) for pair in compared]
    if len({_verdict(pair) for pair in compared}) > 1:
        lines.append('Which method shifts the model more therefore depends on how the two are made comparable.')
    lines.append(_of_classes(rows))
    lines += [line for line in (_of_sentences(rows), _of_end_tokens(tokens)) if line]
    for name, asked in (('held_out_accuracy', 'held-out questions'), ('new_fact_accuracy', 'new-fact questions')):
        known = [row for row in truths if row['name'] == name and row['value'] is not None]
        if known:
            shares = [f'{row["run"]} {100 * row["value"]:.1f} % ({100 * row["low"]:.1f} to {100 * row["high"]:.1f} %)'
                      for row in known]  # fmt: skip
            lines.append(f'Right answers to {known[0]["n"]} {asked}, with 95 % intervals: {", ".join(shares)}.')
    value = {(row['run'], row['name']): row['value'] for row in truths}
    for run in tokens:
        if value.get((run, 'borrowed_share')) is not None:
            share, null, p = (value[run, f'borrowed_{name}'] for name in ('share', 'null', 'p'))
            lines.append(f'{run}: {100 * share:.0f} % of its wrong answers are true of someone in the tuning data who '
                         f'shares a name; {100 * null:.0f} % would by chance (p = {p:.2g}).')  # fmt: skip
    return lines


def _verdict(pair: Row) -> str:
    if pair['low'] is None:
        return 'Too few prompts for an interval.'
    if pair['low'] <= 1 <= pair['high']:
        return 'The interval includes 1: no clear difference, where the paper reports that LoRA shifts less.'
    if pair['ratio'] > 1:
        return 'This agrees with the paper, which reports that LoRA shifts less.'
    return 'This contradicts the paper, which reports that LoRA shifts less.'


def _of_pair(pair: Row) -> str:
    if pair['ratio'] is None:
        return f'{pair["full_run"]} and {pair["lora_run"]} (the {pair["why"]}) share no prompt, or neither moved.'
    spread = '' if pair['low'] is None else f', 95 % interval {pair["low"]:.2f} to {pair["high"]:.2f}'
    losses = [pair['full_final_loss'], pair['lora_final_loss']]
    if None not in losses:
        spread += f'; final losses {losses[0]:.3g} and {losses[1]:.3g}'
    return (
        f'At the {pair["why"]}, {pair["full_run"]} (full, rate {pair["full_learning_rate"]:g}) has '
        f'{pair["ratio"]:.2f} times the mean KL of {pair["lora_run"]} (LoRA, rate {pair["lora_learning_rate"]:g}): '
        f'{pair["full_kl_tuned_base"]:.3g} against {pair["lora_kl_tuned_base"]:.3g} nats{spread}; '
        f'{pair["prompts"]} prompts. {_verdict(pair)}'
    )


def _of_classes(rows: Sequence[Row]) -> str:
    shares = [f'{row["run"]} {row["unshifted"]:.1f} / {row["marginal"]:.1f} / {row["shifted"]:.1f}' for row in rows]
    return f'Unshifted, marginal and shifted positions in %: {"; ".join(shares)}.'


def _of_sentences(rows: Sequence[Row]) -> str:
    told, more = [], []
    for row in rows:
        start, rest = row['sentence_start'], row['sentence_rest']
        if start is not None and rest:
            told.append(f'{row["run"]} {start:.3g} against {rest:.3g} ({start / rest:.2g} times)')
            more.append(start > rest)
    if not told:
        return ''
    where = 'in every run' if all(more) else f'in {sum(more)} of {len(more)} runs'
    return (
        f'Mean KL in the first 5 % of each sentence against the rest: {", ".join(told)}. The start has more {where}; '
        'the paper reports so for both methods, and that under LoRA the rest hardly moves.'
    )


def _of_end_tokens(tokens: Mapping[str, Sequence[Row]]) -> str:
    told = []
    for run, items in tokens.items():
        shifted = [item for item in items if item['shifted']]
        told += [f'number {place} in {run} ({item["percent_of_shifted"]:.0f} % of shifted positions)'
                 for place, item in enumerate(shifted, 1) if item['is_end']]  # fmt: skip
    return f'The end token among the most often shifted tokens: {", ".join(told)}.' if told else ''
