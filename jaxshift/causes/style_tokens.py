"""Which tokens the tuned model chooses where the base would not: counts, smoothed rates, categories, contexts.

The token of a position is the tuned model's argmax, as in Fig. 12 of arXiv 2402.05119 and in URIAL (arXiv 2312.01552).

A token that was chosen twice and shifted twice is not the most shifted of all, so rates are smoothed by an empirical
Bayes estimate: the rates of tokens are taken to be drawn from one Beta distribution with mean p, the pooled rate, and
strength m, and the estimate of a token chosen n times and shifted x times is its posterior mean (x + m p) / (n + m).
m = (1 - rho) / rho, where rho is Kleinman's moment estimate of the correlation within tokens (JASA 68, 1973):

    rho = (S - p (1 - p) (k - 1)) / (p (1 - p) (N - sum(n^2) / N - (k - 1))),   S = sum(n (x / n - p)^2)

over k tokens with N positions together. Where rho is not above 0, the tokens differ no more than chance: m is infinite
and every estimate is p. An end token is chosen once in nearly every response, so it would be much of p by itself: it
has no part in the prior, and keeps its own rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxshift.causes import categories
from jaxshift.causes.categories import CATEGORIES
from jaxshift.shift import curves, intervals

STYLE = 'style'  # openers, layout and politeness together
SHOWN = 20  # tokens that are shown where they stand
_WINDOWS = 3  # of each of them
_AROUND = 8  # tokens on either side

Row = dict[str, Any]
Read = Callable[[Sequence[int]], Sequence[str]]  # the text that each token of a text begins; see explain.pieces


def kinds(tokens: pa.Table, read: Read, end_ids: Collection[int]) -> np.ndarray:
    """The category of the tuned model's choice at each position [N], int8 (see `categories`).

    Where the response says something else than the choice (it was drawn, or is not the run's own), the choice is read
    behind what its line says before it: " and" is an opener nowhere but where a sentence begins.

    Args:
      tokens: records of one run's windows, in the order of `curves.in_order`.
      read: gives the text of each of some token ids, with the blanks that it stands for.
      end_ids: the end tokens.
    """
    said, chosen = tokens['token_id'].to_numpy(), tokens['tuned_argmax_id'].to_numpy()
    ends = set(end_ids)
    found = np.empty(len(said), np.int8)
    for rows in _responses(tokens):
        ids = said[rows].tolist()
        found[rows] = categories.of_tokens(read(ids), [each in ends for each in ids])
        for place in np.flatnonzero(said[rows] != chosen[rows]).tolist():
            until = [*ids[:place], int(chosen[rows][place])]
            *before, last = ['' if each in ends else text for each, text in zip(until, read(until), strict=True)]
            line = ''.join(before).rpartition('\n')[2]
            found[rows.start + place] = categories.of_tokens([line, last], [False, until[-1] in ends])[1]
    return found


def prior(chosen: np.ndarray, shifted: np.ndarray) -> tuple[float, float]:
    """Mean p and strength m of the Beta distribution behind the rates; m is inf where tokens differ by chance alone.

    Args:
      chosen: [k], how often each token was chosen, above 0.
      shifted: [k], how often it was shifted then.
    """
    total = float(chosen.sum())
    p = float(shifted.sum()) / total if total else 0.0
    spread = float((chosen * (shifted / chosen - p) ** 2).sum())
    chance, room = p * (1 - p), total - float((chosen**2.0).sum()) / total - (len(chosen) - 1) if total else 0.0
    if chance * room <= 0:
        return p, math.inf
    rho = (spread - chance * (len(chosen) - 1)) / (chance * room)
    return p, math.inf if rho <= 0 else (1 - min(rho, 1.0)) / min(rho, 1.0)


def smoothed(chosen: np.ndarray, shifted: np.ndarray, p: float, m: float) -> np.ndarray:
    """Posterior means of the rates [k]."""
    return np.full(len(chosen), p) if math.isinf(m) else (shifted + m * p) / (chosen + m)


def of_tokens(
    tokens: pa.Table, kind: np.ndarray, read: Read, end_ids: Collection[int], least: int
) -> tuple[list[Row], Row]:
    """One row for each token that was shifted or marginal, by shifted count, then marginal; and the prior of its rates.

    Args:
      tokens, read, end_ids: as in `kinds`.
      kind: `kinds` of them.
      least: a token that was chosen less often has no place in the order by rate.

    Returns:
      Rows with token_id, token, category (the most frequent one of its shifted and marginal positions), is_end, chosen,
      shifted, marginal, shifted_rate (smoothed; an end token's own) and place_by_rate (from 1, or None).
    """
    chosen = tokens['tuned_argmax_id'].to_numpy()
    classes = _classes(tokens)
    ids, inverse = np.unique(chosen, return_inverse=True)
    total = np.bincount(inverse, minlength=len(ids))
    shifted, marginal = (np.bincount(inverse[classes == name], minlength=len(ids)) for name in ('shifted', 'marginal'))
    moved = classes != 'unshifted'
    cells = inverse[moved] * len(CATEGORIES) + kind[moved]
    category = np.bincount(cells, minlength=len(ids) * len(CATEGORIES)).reshape(len(ids), -1).argmax(axis=1)
    is_word = ~np.isin(ids, list(end_ids))
    p, m = prior(total[is_word], shifted[is_word])
    rate = np.where(is_word, smoothed(total, shifted, p, m), shifted / total)
    by_rate = [i for i in np.lexsort((ids, -shifted, -rate)) if total[i] >= least and shifted[i]]
    place = {int(index): number for number, index in enumerate(by_rate, 1)}
    rows = [
        {
            'token_id': int(ids[i]),
            'token': read([int(ids[i])])[0],
            'category': CATEGORIES[category[i]],
            'is_end': int(ids[i]) in end_ids,
            'chosen': int(total[i]),
            'shifted': int(shifted[i]),
            'marginal': int(marginal[i]),
            'shifted_rate': float(rate[i]),
            'place_by_rate': place.get(int(i)),
        }
        for i in np.lexsort((ids, -marginal, -shifted))
        if shifted[i] + marginal[i]
    ]
    return rows, {'mean': p, 'strength': None if math.isinf(m) else m, 'tokens': int(is_word.sum())}


def of_categories(tokens: pa.Table, kind: np.ndarray, samples: int, bootstrap: int, seed: int) -> list[Row]:
    """How shifted, marginal and all positions divide among the categories, with the end token and without.

    Args:
      tokens, kind: as in `of_tokens`.
      samples: responses of each prompt; intervals draw prompts.
      bootstrap, seed: resamples, and where they begin.

    Returns:
      Rows with positions_counted (all or without_end), shift_class (shifted, marginal or any), category (last STYLE),
      positions, and percent of that class with percent_low and percent_high.
    """
    prompt, prompts = curves.prompt_index(tokens, samples)
    classes, rows = _classes(tokens), []
    for which, counted in (('all', np.ones(len(kind), bool)), ('without_end', kind != categories.END)):
        for name in ('shifted', 'marginal', 'any'):
            here = counted & ((classes == name) | (name == 'any'))
            cells = np.bincount(prompt[here] * len(CATEGORIES) + kind[here], minlength=prompts * len(CATEGORIES))
            sums = cells.reshape(prompts, len(CATEGORIES)).astype(np.float64)
            totals = sums.sum(axis=1, keepdims=True)
            sums = np.hstack([sums, sums[:, categories.STYLE].sum(axis=1, keepdims=True)])
            bounds = intervals.ratio_intervals(sums, np.repeat(totals, sums.shape[1], axis=1), bootstrap, seed)
            with np.errstate(invalid='ignore'):
                percents = 100 * np.array([sums.sum(axis=0) / totals.sum(), *bounds])
            for number, category in enumerate((*CATEGORIES, STYLE)):
                if which == 'all' or number != categories.END:
                    shown = [None if math.isnan(value) else float(value) for value in percents[:, number]]
                    rows.append({
                        'positions_counted': which, 'shift_class': name, 'category': category,
                        'positions': int(sums[:, number].sum()),
                        **dict(zip(('percent', 'percent_low', 'percent_high'), shown, strict=True)),
                    })  # fmt: skip
    return rows


def contexts(tokens: pa.Table, rows: Sequence[Row], read: Read) -> list[Row]:
    """Where the most shifted tokens stand: for each of the first `SHOWN` of `of_tokens` that is no end token, windows.

    They are spread evenly over the shifted positions of the token, in the order of the responses.

    Returns:
      Rows with token_id, example_id, position, before, token, after, base_choice (a text), base_rank, kl_tuned_base.
    """
    said, chosen = tokens['token_id'].to_numpy(), tokens['tuned_argmax_id'].to_numpy()
    shifted, found = _classes(tokens) == 'shifted', []
    response = {rows.start: rows for rows in _responses(tokens)}
    starts = np.array(sorted(response))
    for row in [row for row in rows if row['shifted'] and not row['is_end']][:SHOWN]:
        places = np.flatnonzero(shifted & (chosen == row['token_id']))
        for place in places[np.unique(np.linspace(0, len(places) - 1, _WINDOWS).round().astype(int))].tolist():
            own = response[int(starts[np.searchsorted(starts, place, 'right') - 1])]
            before, after = (
                said[max(own.start, place - _AROUND) : place],
                said[place + 1 : min(own.stop, place + 1 + _AROUND)],
            )
            at = tokens.slice(place, 1).select(['example_id', 'position', 'base_rank', 'kl_tuned_base']).to_pylist()[0]
            found.append({
                'token_id': row['token_id'], 'example_id': at['example_id'], 'position': at['position'],
                'before': ''.join(read(before.tolist())), 'token': row['token'],
                'after': ''.join(read(after.tolist())),
                'base_choice': read([tokens['base_argmax_id'][place].as_py()])[0],
                'base_rank': at['base_rank'], 'kl_tuned_base': at['kl_tuned_base'],
            })  # fmt: skip
    return found


def side_by_side(one: Sequence[Row], other: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Tokens that are shifted in one run alone, in the other alone, or in both; rows of `of_tokens` of two runs.

    Returns:
      Rows with token_id, token, category (of the run where it is shifted more often), is_end, shifted_in ('both' or a
      name) and shifted_NAME of both; by the sum of counts.
    """
    counts = [{row['token_id']: row for row in rows if row['shifted']} for rows in (one, other)]
    found = []
    for token in counts[0].keys() | counts[1].keys():
        ours, theirs = (each.get(token) for each in counts)
        shifted = [each['shifted'] if each else 0 for each in (ours, theirs)]
        shown = ours if ours and shifted[0] >= shifted[1] else theirs
        assert shown is not None
        found.append({
            **{key: shown[key] for key in ('token_id', 'token', 'category', 'is_end')},
            'shifted_in': 'both' if all(shifted) else names[not shifted[0]],
            f'shifted_{names[0]}': shifted[0], f'shifted_{names[1]}': shifted[1],
        })  # fmt: skip
    return sorted(found, key=lambda row: (-row[f'shifted_{names[0]}'] - row[f'shifted_{names[1]}'], row['token_id']))


def _classes(tokens: pa.Table) -> np.ndarray:
    return np.asarray(tokens['shift_class'].to_pylist(), dtype=object)


def _responses(tokens: pa.Table) -> list[slice]:
    """The rows of each response."""
    response, _ = curves.response_index(tokens)
    begins = np.flatnonzero(np.diff(response, prepend=-1))
    return [slice(int(start), int(stop)) for start, stop in zip(begins, [*begins[1:], len(response)], strict=True)]
