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
    """A run's points, the base first, as flat figures.

    Runs of one `line` differ in the learning rate alone; those of one `kind` read the same texts alike.
    """

    run: str
    method: str
    line: str
    kind: tuple
    rate: float
    prompts: list[str]
    points: list[Row]


def section(found: Results) -> Section | None:
    """What dynamics.json of all runs say."""
    configs = found.config['runs']
    own = {
        run: items['dynamics']
        for run, items in found.explained.items()
        if items.get('dynamics', {}).get('points') and run in configs
    }
    if not own:
        return None
    lines = series(configs, {run: configs[run]['method'] for run in own})
    runs = [_trajectory(run, configs[run], lines[run], figures) for run, figures in own.items()]
    matches = list(matched(runs, found.config['sweep']['bootstrap'], found.config['seed']))
    tables = {
        'dynamics': [
            {'run': each.run, 'method': each.method, 'learning_rate': each.rate}
            | {key: value for key, value in point.items() if not isinstance(value, list)}
            for each in runs
            for point in each.points
        ],
        'matched': matches,
        'learning_rates': rates(runs),
    }
    sentences = [*_sentences(matches), *_left_out(runs, matches)]
    return Section('During training', sentences, tables, {'dynamics': (trajectories(runs), _CAPTION)})


def _trajectory(run: str, config: Mapping, line: str, figures: Mapping) -> Trajectory:
    kind = config.get('treatment', ''), config.get('neftune_alpha', 0.0)
    points = [flat(point) for point in figures['points']]
    return Trajectory(run, config['method'], line, kind, config['learning_rate'], figures['prompts'], points)


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


def best(runs: Sequence[Trajectory], line: str) -> Trajectory | None:
    """The run of a line with the least loss on held-out examples at its end; None where none were held out.

    The loss on what was trained on would choose the run that overfits most.
    """
    own = [each for each in runs if each.line == line and 'held_out_loss' in each.points[-1]]
    return min(own, key=lambda each: each.points[-1]['held_out_loss'], default=None)


def pairs(runs: Sequence[Trajectory]) -> list[tuple[Trajectory, Trajectory]]:
    """Every full run with every LoRA run of its kind: losses on other data, or after noise, are not the same loss."""
    return [(a, b) for a in runs if a.method == 'full' for b in runs if b.method == 'lora' and a.kind == b.kind]


def matched(runs: Sequence[Trajectory], bootstrap: int, seed: int) -> Iterator[Row]:
    """Full training against LoRA at one learning rate, at each one's best, at one training loss and at one KL.

    The levels are the deepest that both of a pair reach; a pair of which one never leaves the base's has no row.
    """
    for a, b in pairs(runs):
        ends = [Place(len(each.points) - 2, len(each.points) - 1, 1.0) for each in (a, b)]
        kinds: list[tuple[str, float | None]] = [(RATE, a.rate)] if a.rate == b.rate else []
        kinds += [(BEST, None)] if (a, b) == (best(runs, a.line), best(runs, b.line)) else []
        for why, level in kinds:
            yield _row(why, level, (a, b), ends, bootstrap, seed)
        for why, key in _KEYS.items():
            level = deepest(a.points, b.points, key)
            places = [place for each in (a, b) if (place := reach(each.points, key, level))]
            if len(places) == 2 and all(place.first + place.part for place in places):
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


def rates(runs: Sequence[Trajectory]) -> list[Row]:
    """The ends of runs that differ in the learning rate alone, those of one line together."""
    chosen = {each.line: best(runs, each.line) for each in runs}
    return [
        {'line': each.line, 'run': each.run, 'learning_rate': each.rate}
        | {'best': each == chosen[each.line] if chosen[each.line] else None}
        | {key: each.points[-1].get(key) for key in ('loss', 'held_out_loss', *_SHOWN[1:])}
        for each in sorted(runs, key=lambda each: (each.line, each.rate))
    ]


def _left_out(runs: Sequence[Trajectory], matches: Sequence[Row]) -> Iterator[str]:
    """What was not made equal, and why."""
    alike, lines = pairs(runs), {each.line for each in runs}
    if alike and len(lines) < len(runs) and not any(best(runs, line) for line in lines):
        yield (
            'No learning rate is called the best: no examples were held out (config.data.held_out), and the loss on '
            'those that were trained on would choose the run that overfits most.'
        )
    for why in _KEYS:
        if apart := len(alike) - sum(row['equal'] == why for row in matches):
            yield f'Not compared at equal {why}: {counted(apart, "pair")}, of which a run never leaves the base’s.'
    full, lora = (sum(each.method == method for each in runs) for method in ('full', 'lora'))
    if other := full * lora - len(alike):
        yield (
            f'Not compared: {counted(other, "pair")} of a full run and a LoRA run that were trained on differently '
            'treated data, or one with NEFTune’s noise, so that their losses are not of the same texts.'
        )


def _sentences(matches: Sequence[Row]) -> Iterator[str]:
    for why in (RATE, BEST, LOSS, KL):
        rows = [row for row in matches if row['equal'] == why]
        if not rows:
            continue
        text = f'At equal {why}' if why != BEST else 'Each at its own best learning rate'
        text += f' ({counted(len(rows), "pair")} of a full run and a LoRA run)'
        if why == KL:
            losses = [row['full_loss'] / row['lora_loss'] for row in rows]
            text += f' the training loss of full tuning is {_range(losses)} times that of LoRA'
        elif not (ratios := [row['kl_ratio'] for row in rows if row['kl_ratio'] is not None]):
            text += ' mean KLs have no ratio, because they are of other prompts or one of them is 0'
        else:
            text += f' full tuning has {_range(ratios)} times the mean KL of LoRA'
            if len(rows) == 1 and rows[0]['kl_ratio_low'] is not None:
                text += f' [{number(rows[0]["kl_ratio_low"])}, {number(rows[0]["kl_ratio_high"])}]'
        accuracies = [row for row in rows if None not in (row['full_held_out_accuracy'], row['lora_held_out_accuracy'])]
        if accuracies:
            gaps = [100 * (row['lora_held_out_accuracy'] - row['full_held_out_accuracy']) for row in accuracies]
            text += f'; LoRA’s held-out accuracy is {_range(gaps)} points above'
        yield f'{text}.'


def _range(values: Sequence[float]) -> str:
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
