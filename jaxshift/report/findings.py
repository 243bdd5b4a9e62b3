"""Plain sentences read off the tables: what the runs show, and where that is not what the paper reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number


def sentences(rows: Sequence[Row], compared: Sequence[Row], tokens: Mapping[str, Sequence[Row]],
             truths: Sequence[Row]) -> list[str]:  # fmt: skip
    """The findings.

    Args:
      rows: of `tables.overview`, one for each run.
      compared: of `tables.pairs`.
      tokens: of `tables.top_tokens`, for each run.
      truths: of `truth.rows`.
    """
    lines = [_of_pair(pair) for pair in compared]
    if len({_verdict(pair) for pair in compared}) > 1:
        lines.append('Which method shifts the model more therefore depends on how the two are made comparable.')
    lines.append(_of_classes(rows))
    return [*lines, *_of_sentences(rows), *_of_end_tokens(tokens), *_of_answers(truths), *_of_borrowing(truths)]


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
    spread = '' if pair['low'] is None else f', 95 % interval {number(pair["low"])} to {number(pair["high"])}'
    losses = [pair['full_final_loss'], pair['lora_final_loss']]
    if None not in losses:
        spread += f'; final losses {number(losses[0])} and {number(losses[1])}'
    return (
        f'At the {pair["why"]}, {pair["full_run"]} (full, rate {pair["full_learning_rate"]:g}) has '
        f'{number(pair["ratio"])} times the mean KL of {pair["lora_run"]} (LoRA, rate '
        f'{pair["lora_learning_rate"]:g}): {number(pair["full_kl_tuned_base"])} against '
        f'{number(pair["lora_kl_tuned_base"])} nats{spread}; {counted(pair["prompts"], "prompt")}. {_verdict(pair)}'
    )


def _of_classes(rows: Sequence[Row]) -> str:
    shares = [f'{row["run"]} {row["unshifted"]:.1f} / {row["marginal"]:.1f} / {row["shifted"]:.1f}' for row in rows]
    return f'Unshifted, marginal and shifted positions in %: {"; ".join(shares)}.'


def _of_sentences(rows: Sequence[Row]) -> Iterator[str]:
    told, more = [], []
    for row in rows:
        start, rest = row['sentence_start'], row['sentence_rest']
        if start is not None and rest:
            told.append(f'{row["run"]} {number(start)} against {number(rest)} ({number(start / rest)} times)')
            more.append(start > rest)
    if told:
        where = 'in every run' if all(more) else f'in {sum(more)} of {counted(len(more), "run")}'
        yield (
            f'Mean KL in the first 5 % of each sentence against the rest: {", ".join(told)}. The start has more '
            f'{where}; the paper reports so for both methods, and that under LoRA the rest hardly moves.'
        )


def _of_end_tokens(tokens: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    told = []
    for run, items in tokens.items():
        shifted = [item for item in items if item['shifted']]
        told += [f'number {place} in {run} ({item["percent_of_shifted"]:.0f} % of shifted positions)'
                 for place, item in enumerate(shifted, 1) if item['is_end']]  # fmt: skip
    if told:
        yield f'The end token among the most often shifted tokens: {", ".join(told)}.'


def _of_answers(truths: Sequence[Row]) -> Iterator[str]:
    for name, asked in (('held_out_accuracy', 'held-out questions'), ('new_fact_accuracy', 'new-fact questions')):
        shares = [_share(row) for row in truths if row['name'] == name and row['low'] is not None]
        if shares:
            yield f'Right answers to {asked}, with 95 % intervals: {", ".join(shares)}.'


def _share(row: Row) -> str:
    value, low, high = (f'{100 * row[name]:.1f}' for name in ('value', 'low', 'high'))
    return f'{row["run"]} {value} % of {row["n"]:,} ({low} to {high})'


def _of_borrowing(truths: Sequence[Row]) -> Iterator[str]:
    value = {(row['run'], row['name']): row['value'] for row in truths}
    for run in dict.fromkeys(row['run'] for row in truths):
        if value.get((run, 'borrowed_null')) is not None:
            share, null, p = (value[run, f'borrowed_{name}'] for name in ('share', 'null', 'p'))
            yield (
                f'{run}: {100 * share:.0f} % of its wrong answers are true of someone in the tuning data who shares a '
                f'name; {100 * null:.0f} % would be by chance (p = {p:.2g}).'
            )
