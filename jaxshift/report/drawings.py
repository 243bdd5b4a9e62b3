"""Which figures the results of a workdir can fill, and the way of a figure into the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from jaxshift.report import figures, readings, style, training_figures, truth
from jaxshift.report.results import Results
from jaxshift.report.tables import Row
from jaxshift.shift.curves import Curve

_TRUTH_PANELS = (
    ('held_out_accuracy', 'held-out accuracy'),
    ('new_fact_accuracy', 'new-fact accuracy'),
    ('kl_at_values', 'mean KL(tuned ‖ base) at value tokens, nats'),
)
_OTHER_PANELS = (
    ('base_probability', "base probability of the tuned model's choice"),
    ('shifted', 'shifted positions, %'),
    ('sentence_rest', 'mean KL after the start of each sentence, nats'),
)
# What matplotlib writes, by what page.css calls it.
_NAMED = {'#ffffff': 'paper', '#000000': 'ink', '#222222': 'ink', '#e4e4e4': 'line', '#e6e6e6': 'line'}
_NAMED |= {style.GREY.lower(): 'quiet'} | {
    colour.lower(): name for name, colour in (style.METHOD_COLOURS | style.CLASS_COLOURS).items()
}
_NOT_A_SETTING = {
    'learning_rate', 'log_every', 'eval_every', 'checkpoint_every', 'keep_steps', 'micro_batch_size', 'remat',
}  # fmt: skip


def draw(
    found: Results,
    rows_of_all: list[Row],
    head: Mapping[str, list[Row]],
    tokens: Mapping[str, list[Row]],
    curves: Mapping[tuple[str, str, str], Mapping[str, Curve]],
    folder: Path,
) -> dict[str, Markup]:
    """Draws and saves the figures; the SVGs by name, ready to stand in the page.

    Args:
      found: the results.
      rows_of_all: rows of `tables.overview` for all windows and positions.
      head: rows of `tables.overview` for the headline windows, by the positions counted.
      tokens: rows of `tables.top_tokens` by run.
      curves: by run, for (measure, absolute | relative, positions counted).
      folder: takes NAME.svg and NAME.png.
    """
    rows, without = head['all'], head['without_end']
    methods = {row['run']: row['method'] for row in rows}
    made = {}
    tuned = [row for row in rows if row['learning_rate'] is not None]
    if len({row['learning_rate'] for row in tuned}) > 1:
        truth_panels = [panel for panel in _TRUTH_PANELS if any(panel[0] in row for row in tuned)]
        panels = [('kl_tuned_base', 'mean KL(tuned ‖ base), nats'), *(truth_panels or _OTHER_PANELS)]
        lines_of, base = series(found.config['runs'], methods), _of_base(found.truths)
        made['learning_rate'] = training_figures.learning_rate(tuned, panels, lines_of, base)
        # Panel by panel as well: the page sets them side by side where there is room, one below the other elsewhere.
        for panel in panels:
            made[f'learning_rate-{panel[0]}'] = training_figures.learning_rate(tuned, [panel], lines_of, base)
    by_length = _by_length(rows_of_all, found.headline)
    if len({row['context_length'] for row in by_length}) > 1:
        made['context_length'] = figures.context_length(by_length)
    made['means'] = figures.means(rows, without)
    made['class_shares'] = figures.class_shares(rows, without)
    made['sentence'] = figures.sentence(rows)
    made['position_curves'] = figures.position_curves(curves, methods)
    if any(found.metrics[run] for run in methods):
        made['loss'] = training_figures.loss_curves(found.metrics, methods)
    made['top_tokens'] = figures.top_tokens(tokens, methods)
    return {name: drawn(figure, folder, name) for name, figure in made.items()}


def series(configs: Mapping[str, Row], methods: Mapping[str, str]) -> dict[str, str]:
    """Run -> its line; runs that differ in the learning rate alone share one, named by what sets it apart."""
    settings = {
        run: {k: v for k, v in configs.get(run, {}).items() if k not in _NOT_A_SETTING} | {'method': method}
        for run, method in methods.items()
    }
    names = {}
    for run, own in settings.items():
        others = [other for other in settings.values() if other['method'] == own['method']]
        odd = [key for key in own if any(other.get(key) != own[key] for other in others)]
        names[run] = ', '.join([own['method'], *(f'{key}={_joined(own[key])}' for key in odd)])
    return names


def _by_length(rows: list[Row], headline: Mapping[str, Any]) -> list[Row]:
    """Rows of the headline's context and template, one a run and context length: of several steps the last."""
    found: dict[tuple, Row] = {}
    for row in rows:
        if all(row[key] == headline[key] for key in ('context', 'template')):
            found.setdefault((row['run'], row['context_length']), row)
    return list(found.values())


def _joined(value: Any) -> str:
    return '/'.join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _of_base(truths: Mapping[str, Row]) -> dict[str, float]:
    first = next(iter(truths.values()), {})
    return {name: first[truth.BASE + name] for name, _ in _TRUTH_PANELS if truth.BASE + name in first}


def drawn(figure: Figure, folder: Path, name: str) -> Markup:
    """Saves a figure as NAME.svg and NAME.png; its SVG as an element of the page, with what its lines are."""
    svg = inline(style.save(figure, folder, name), name)
    plot = readings.plot(figure)
    return svg.replace('<svg', Markup('<svg data-plot="{}"').format(plot), 1) if plot else svg


def inline(svg: str, name: str) -> Markup:
    """The SVG as an element of the page: no prolog, no metadata, no namespaces (HTML knows them), ids of its own.

    Colours become those of the page by their names, light and dark. The caption beside it says what it shows.
    """

    def of_the_page(tag: re.Match[str]) -> str:
        own = re.sub(r'\sid="run:\d+:', ' data-run="', tag[0])
        own = re.sub(r'(\sid="|url\(#|href="#)', rf'\g<1>{name}-', re.sub(r'\sxmlns(:xlink)?="[^"]*"', '', own))
        return re.sub('|'.join(_NAMED), lambda found: f'var(--{_NAMED[found[0]]})', own)

    svg = re.sub('<metadata>.*?</metadata>', '', svg[svg.index('<svg') :], flags=re.DOTALL)
    return Markup(re.sub('<[^>]*>', of_the_page, svg))  # tags alone: what lies between is text, maybe of a model
