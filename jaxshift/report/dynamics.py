"""The section of training dynamics: shift against training loss, and methods compared where they are alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxshift.causes.matched import Place, deepest, ratio, reach
from jaxshift.report import style
from jaxshift.report.drawings import series
from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number

BASE = {  # of the base against itself
    'kl_tuned_base': 0.0, 'kl_base_tuned': 0.0, 'js': 0.0, 'total_variation': 0.0, 'same_top_1': 100.0,
    'unshifted': 100.0, 'marginal': 0.0, 'shifted': 0.0, 'sentence_start': 0.0, 'sentence_rest': 0.0,
}  # fmt: skip
RATE, BEST, LOSS, KL = 'learning rate', 'own best learning rate', 'training loss', 'KL'  # what is made equal
_KEYS = {LOSS: 'loss', KL: 'kl_tuned_base'}
_SHOWN = ('loss', 'kl_tuned_base', 'shifted', 'sentence_start', 'sentence_rest', 'held_out_accuracy',
          'new_fact_accuracy')  # fmt: skip
_CAPTION = (
    'Runs at their checkpoints, each line from the base on. Left: shift against the loss on the same training '
    'examples; right: what it costs.'
)


class Trajectory(NamedTuple):
    """A run's points, the base first, as flat figures."""

    run: str
    method: str
    rate: float
    prompts: list[str]
    points: list[Row]


def section(found: Results) -> Section | None:
    """What dynamics.json of all runs say."""
    runs = [
        Trajectory(run, config['method'], config['learning_rate'], items['dynamics']['prompts'],
                   [flat(point) for point in items['dynamics']['points']])
        for run, items in found.explained.items()
        if items.get('dynamics', {}).get('points') and (config := found.config['runs'].get(run))
    ]  # fmt: skip
    if not runs:
        return None
    bootstrap, seed = found.config['sweep']['bootstrap'], found.config['seed']
    matches = list(matched(runs, bootstrap, seed))
    lines = series(found.config['runs'], {each.run: each.method for each in runs})
    tables = {
        'dynamics': [
            {'run': each.run, 'method': each.method, 'learning_rate': each.rate}
            | {key: value for key, value in point.items() if not isinstance(value, list)}
            for each in runs
            for point in each.points
        ],
        'matched': matches,
        'learning_rates': rates(runs, lines),
    }
    return Section(
        'During training', [*_sentences(matches)], tables, {'dynamics': (trajectories(runs), _CAPTION)}
    )  # fmt: skip


def flat(point: Mapping) -> Row:
    """A point of dynamics.json: the means of all positions under their names, losses, answers and sums by prompt."""
    row: Row = {key: point[key] for key in ('step', 'loss', 'held_out_loss', 'kl_sums', 'positions') if key in point}
    row |= {key: value for key, value in point.get('answers', {}).items() if value is not None}
    if 'all' not in point:
        return row | BASE
    for name, mean in [*point['all'].items(), *point['all']['shares'].items()]:
        if isinstance(mean, Mapping) and mean.get('mean') is not None:
            row[name] = mean['mean']
    return row


def best(runs: Sequence[Trajectory], method: str) -> Trajectory | None:
    """The run of a method with the least loss at its end: on held-out examples where there are some, else trained."""
    own = [each for each in runs if each.method == method]
    return min(own, key=_last_loss, default=None)


def _last_loss(run: Trajectory) -> float:
    last = run.points[-1]
    loss: float = last['held_out_loss' if 'held_out_loss' in last else 'loss']
    return loss


def matched(runs: Sequence[Trajectory], bootstrap: int, seed: int) -> Iterator[Row]:
    """Full training against LoRA at one learning rate, at each one's best, at one training loss and at one KL.

    The levels are the deepest that both of a pair reach.
    """
    pairs = [(a, b) for a in runs if a.method == 'full' for b in runs if b.method == 'lora']
    chosen = best(runs, 'full'), best(runs, 'lora')
    for a, b in pairs:
        ends = [Place(len(each.points) - 2, len(each.points) - 1, 1.0) for each in (a, b)]
        kinds: list[tuple[str, float | None]] = [(RATE, a.rate)] if a.rate == b.rate else []
        kinds += [(BEST, None)] if (a, b) == chosen else []
        for why, level in kinds:
            yield _row(why, level, (a, b), ends, bootstrap, seed)
        for why, key in _KEYS.items():
            level = deepest(a.points, b.points, key)
            places = [place for each in (a, b) if (place := reach(each.points, key, level))]
            if len(places) == 2:
                yield _row(why, level, (a, b), places, bootstrap, seed)


def _row(
    why: str, level: float | None, pair: tuple[Trajectory, Trajectory], places: Sequence[Place], bootstrap: int,
    seed: int,
) -> Row:  # fmt: skip
    row: Row = {'equal': why, 'at': level}
    for each, place in zip(pair, places, strict=True):
        row |= {f'{each.method}_run': each.run, f'{each.method}_step': place.between(each.points, 'step')}
        row |= {f'{each.method}_{key}': place.between(each.points, key) for key in _SHOWN}
    value = low = high = None
    if pair[0].prompts == pair[1].prompts and row['lora_kl_tuned_base']:
        full, lora = ((each.points, place) for each, place in zip(pair, places, strict=True))
        value, low, high = (None if each != each else each for each in ratio(full, lora, bootstrap, seed))
    return row | {'kl_ratio': value, 'kl_ratio_low': low, 'kl_ratio_high': high}


def rates(runs: Sequence[Trajectory], lines: Mapping[str, str]) -> list[Row]:
    """The ends of runs that differ in the learning rate alone, those of one line together."""
    chosen = [best(runs, method) for method in {each.method for each in runs}]
    return [
        {'line': lines[each.run], 'run': each.run, 'learning_rate': each.rate, 'best': each in chosen}
        | {key: each.points[-1].get(key) for key in ('loss', 'held_out_loss', *_SHOWN[1:])}
        for each in sorted(runs, key=lambda each: (lines[each.run], each.rate))
    ]


def _sentences(matches: Sequence[Row]) -> Iterator[str]:
    for why in (RATE, BEST, LOSS, KL):
        rows = [row for row in matches if row['equal'] == why]
        if not rows:
            continue
        pairs = counted(len(rows), 'pair')
        text = f'At equal {why}' if why != BEST else 'Each at its own best learning rate'
        text += f' ({pairs} of a full run and a LoRA run)'
        if why == KL:
            losses = [row['full_loss'] / row['lora_loss'] for row in rows]
            text += f' the training loss of full tuning is {_range(losses)} times that of LoRA'
        else:
            ratios = [row['kl_ratio'] for row in rows if row['kl_ratio'] is not None]
            text += f' full tuning has {_range(ratios)} times the mean KL of LoRA'
            if len(rows) == 1 and rows[0]['kl_ratio_low'] is not None:
                text += f' [{number(rows[0]["kl_ratio_low"])}, {number(rows[0]["kl_ratio_high"])}]'
        accuracies = [row for row in rows if None not in (row['full_held_out_accuracy'], row['lora_held_out_accuracy'])]
        if accuracies:
            gaps = [100 * (row['lora_held_out_accuracy'] - row['full_held_out_accuracy']) for row in accuracies]
            text += f'; LoRA’s held-out accuracy is {_range(gaps)} points above'
        yield f'{text}.'


def _range(values: Sequence[float]) -> str:
    if not values:
        return 'an unknown number of'
    low, high = number(min(values)), number(max(values))
    return low if low == high else f'{low} to {high}'


@style.styled
def trajectories(runs: Sequence[Trajectory]) -> Figure:
    """KL against training loss, and held-out accuracy, or the loss on held-out examples, against KL."""
    cost, title = next(
        ((key, title) for key, title in (('held_out_accuracy', 'held-out accuracy'), ('held_out_loss', 'held-out loss'),
                                         ('shifted', 'shifted positions, %'))
         if all(key in point for each in runs for point in each.points)),
    )  # fmt: skip
    figure = Figure(figsize=(style.WIDTH, 3.4))
    left, right = figure.subplots(1, 2)
    looks = style.run_styles({each.run: each.method for each in runs})
    for each in runs:
        look = looks[each.run] | {'markersize': 3, 'linewidth': 1.2}
        loss, kl, paid = ([point[key] for point in each.points] for key in ('loss', 'kl_tuned_base', cost))
        left.plot(loss, kl, **look)
        right.plot(kl, paid, **look)
    left.invert_xaxis()  # training goes to the right
    left.set(xlabel='training loss, nats a token (falls to the right)', ylabel='mean KL(tuned ‖ base), nats')
    right.set(xlabel='mean KL(tuned ‖ base), nats', ylabel=title)
    left.set_ylim(bottom=0)
    right.set_ylim(bottom=0)
    handles = [Line2D([], [], label=style.label(run), **look) for run, look in looks.items()]
    figure.legend(handles=handles, loc='outside upper left', ncols=4)
    return figure
