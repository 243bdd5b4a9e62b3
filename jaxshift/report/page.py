"""The report: one plain offline page, its figures and its tables, from the files of a workdir alone."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from jaxshift.errors import InputError
from jaxshift.report import figures, tables
from jaxshift.shift import curves, records, summary
from jaxshift.shift.classes import CLASSES

Row = dict[str, Any]

_COLUMNS = [name for name in summary.COLUMNS if name not in ('tuned_entropy', 'base_entropy', 'js', 'total_variation')]
_EXAMPLES = 3
_MOST_TOKENS_SHOWN = 10
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
_NOT_A_SETTING = {'learning_rate', 'log_every', 'checkpoint_every', 'micro_batch_size', 'remat'}


@dataclass(frozen=True)
class Study:
    """What the workdir holds. `tokens` are the rows of `headline`, the first (context, template, length) of a run."""

    experiment: Row
    summaries: dict[str, list[Row]]
    metrics: dict[str, list[Row]]
    tokens: dict[str, pa.Table]
    responses: dict[str, dict[str, Row]]
    truths: dict[str, Row]
    unfinished: list[str]

    @property
    def headline(self) -> Row:
        first = next(iter(self.summaries.values()))[0]
        return {key: first[key] for key in ('context', 'template', 'context_length')}


def load(workdir: str | Path) -> Study:
    """Reads a workdir.

    Raises:
      InputError: a file is missing or broken, or no run has been compared yet.
    """
    workdir = Path(workdir)
    experiment = _json(workdir / 'experiment.json')
    configured = list(experiment['config'].get('runs', {}))
    found = sorted(path.name for path in (workdir / 'runs').glob('*') if path.is_dir())
    runs = [*configured, *(name for name in found if name not in configured)]
    done = [run for run in runs if (workdir / 'runs' / run / 'summary.json').exists()]
    if not done:
        raise InputError(f'{workdir}/runs: no run has a summary.json; run the sweep (--mode=sweep) first')
    folders = {run: workdir / 'runs' / run for run in done}
    summaries = {run: summary.read(folder / 'summary.json') for run, folder in folders.items()}
    head = next(iter(summaries.values()))[0]
    tokens = {}
    for run, folder in folders.items():
        for key, rows in summary.groups(records.read(folder / 'tokens', _COLUMNS)):
            if all(key[name] == head[name] for name in ('context', 'template', 'context_length')):
                tokens[run] = rows
        if run not in tokens:
            raise InputError(f'{folder}/tokens: no rows of context {head["context"]!r}; sweep again')
    return Study(
        experiment,
        summaries,
        # A restarted run logs some steps twice; the later line holds.
        {run: list({r['step']: r for r in _lines(f / 'metrics.jsonl')}.values()) for run, f in folders.items()},
        tokens,
        {run: {r['example_id']: r for r in _lines(f / 'responses.jsonl')} for run, f in folders.items()},
        {run: _json(f / 'causes/truth.json') for run, f in folders.items() if (f / 'causes/truth.json').exists()},
        [run for run in runs if run not in done],
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InputError(f'{path}: cannot be read ({error})') from error


def _lines(path: Path) -> list[Row]:
    """The objects of a JSONL file; none when there is no such file (a run tuned elsewhere has no metrics)."""
    rows = []
    # Not splitlines: a JSON string may hold other line separators, such as U+2028.
    for number, line in enumerate(path.read_text(encoding='utf-8').split('\n') if path.exists() else (), 1):
        try:
            if line.strip():
                rows.append(json.loads(line))
        except ValueError as error:
            raise InputError(f'{path}:{number}: not JSON ({error}); remove the line') from error
    return rows


def write(workdir: str | Path, pieces: curves.Pieces, end_ids: Collection[int], warnings: Sequence[str] = ()) -> Path:
    """Writes report/index.html, report/figures and report/tables; returns the page's path.

    Args:
      pieces: token id -> decoded text.
      end_ids: the end tokens, which figures and tables show with and without.
      warnings: lines to show beside those that the files give rise to.
    """
    study = load(workdir)
    folder = Path(workdir) / 'report'
    config = study.experiment['config']
    bootstrap, seed = config.get('sweep', {}).get('bootstrap', 1000), config.get('seed', 0)
    rows = {which: _rows(study, which) for which in summary.POSITIONS}
    head = {which: [r for r in rows[which] if study.headline.items() <= r.items()] for which in rows}
    truth = tables.truth(study.truths)
    _add_truth(head['all'], truth)
    tokens = {run: tables.top_tokens(table, pieces, end_ids) for run, table in study.tokens.items()}
    lines = {
        (kind, which): {run: curve(part, 'kl_tuned_base', bootstrap, seed) for run, part in parts.items()}
        for which, parts in _choices(study.tokens, end_ids).items()
        for kind, curve in (('absolute', curves.by_position), ('relative', curves.by_relative_position))
    }
    pairs = tables.pairs(head['all'], study.tokens, bootstrap, seed)
    svgs = _figures(study, head, tokens, lines, folder / 'figures')
    saved = {
        'runs': [*rows['all'], *rows['without_end']],
        'pairs': pairs,
        'truth': truth,
        'top_tokens': [{'run': run, **row} for run, items in tokens.items() for row in items],
        'curves': [
            row
            for (kind, which), by_run in lines.items()
            for run, curve in by_run.items()
            for row in tables.curve_rows(curve, run=run, **study.headline, kind=kind, positions_counted=which)
        ],
    }
    for name, items in saved.items():
        tables.save(items, folder / 'tables', name)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {'number': number, 'mean': _mean, 'figure': _truth_cell, 'shown': figures.token_text}
    template = environment.from_string(Path(__file__).with_name('page.html').read_text(encoding='utf-8'))
    page = folder / 'index.html'
    page.write_text(
        template.render(
            study=study,
            config=config,
            warnings=[*_warnings(study), *warnings],
            findings=tables.findings(head['all'], pairs, tokens, truth),
            svgs=svgs,
            rows=rows,
            head=head,
            truth=truth,
            truth_names=list(dict.fromkeys(row['name'] for row in truth)),
            tokens={run: items[:_MOST_TOKENS_SHOWN] for run, items in tokens.items()},
            examples=_examples(study, pieces),
            classes=CLASSES,
            thresholds=_thresholds(config),
            saved=list(saved),
        ),
        encoding='utf-8',
    )
    return page


def _thresholds(config: Row) -> tuple[int, int]:
    sweep = config.get('sweep', {})
    return sweep.get('marginal_above', 1), sweep.get('shifted_above', 3)


def _rows(study: Study, which: str) -> list[Row]:
    return tables.overview(study.summaries, study.metrics, study.experiment['config'].get('runs', {}), which)


def _choices(tokens: Mapping[str, pa.Table], end_ids: Collection[int]) -> dict[str, dict[str, pa.Table]]:
    return {
        'all': dict(tokens),
        'without_end': {run: summary.without_end(table, end_ids) for run, table in tokens.items()},
    }


def _add_truth(rows: list[Row], truth: list[Row]) -> None:
    for row in rows:
        for item in truth:
            if item['run'] == row['run']:
                name = item['name']
                row |= {name: item['value'], f'{name}_low': item['low'], f'{name}_high': item['high']}


def _figures(study: Study, head: Mapping[str, list[Row]], tokens: Mapping[str, list[Row]], lines: Mapping,
             folder: Path) -> dict[str, Markup]:  # fmt: skip
    """Draws and saves what the study has data for; the SVGs by name, ready to stand in the page."""
    rows, without = head['all'], head['without_end']
    methods = {row['run']: row['method'] for row in rows}
    drawn = {}
    tuned = [row for row in rows if row['learning_rate'] is not None]
    if len({row['learning_rate'] for row in tuned}) > 1:
        truth_panels = [panel for panel in _TRUTH_PANELS if any(panel[0] in row for row in tuned)]
        panels = [('kl_tuned_base', 'mean KL(tuned ‖ base), nats'), *(truth_panels or _OTHER_PANELS)]
        series = _series(study.experiment['config']['runs'], methods)
        drawn['learning_rate'] = figures.learning_rate(tuned, panels, series, _base(study.truths))
        # Panel by panel as well: the page sets them side by side where there is room, one below the other elsewhere.
        for panel in panels:
            drawn[f'learning_rate-{panel[0]}'] = figures.learning_rate(tuned, [panel], series, _base(study.truths))
    drawn['means'] = figures.means(rows, without)
    drawn['class_shares'] = figures.class_shares(rows, without)
    drawn['sentence'] = figures.sentence(rows)
    drawn['position_curves'] = figures.position_curves(
        lines['absolute', 'all'], lines['relative', 'all'], lines['relative', 'without_end'], methods
    )
    if any(study.metrics.values()):
        drawn['loss'] = figures.loss_curves(study.metrics, methods)
    drawn['top_tokens'] = figures.top_tokens(tokens, methods)
    return {name: _inline(figures.save(figure, folder, name), name) for name, figure in drawn.items()}


def _inline(svg: str, name: str) -> Markup:
    """The SVG as an element of the page: no prolog, no metadata, no namespaces (HTML knows them), ids of its own."""
    svg = re.sub(r'<metadata>.*?</metadata>|\s+xmlns(:xlink)?="[^"]*"', '', svg[svg.index('<svg') :], flags=re.DOTALL)
    svg = re.sub(r'(\sid="|url\(#|href="#)', rf'\g<1>{name}-', svg)
    return Markup(svg)


def _series(configs: Mapping[str, Row], methods: Mapping[str, str]) -> dict[str, str]:
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


def _joined(value: Any) -> str:
    return '/'.join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _base(truths: Mapping[str, Row]) -> dict[str, float]:
    first = next(iter(truths.values()), {})
    return {name: first[f'base_{name}'] for name, _ in _TRUTH_PANELS if f'base_{name}' in first}


def _warnings(study: Study) -> list[str]:
    """What a reader must know before believing the numbers: skipped, cut, refused, missing, inconsistent."""
    lines = [f'Run {run} has not been compared: runs/{run}/summary.json is missing.' for run in study.unfinished]
    for run, objects in study.summaries.items():
        lines += [f'Run {run}: {name.replace("_", " ")}: {n}.' for name, n in objects[0].get('counts', {}).items() if n]
        responses = study.responses[run].values()
        cut = sum(row.get('finish_reason') == 'length' for row in responses)
        if cut:
            lines.append(f'Run {run}: {cut} of {len(responses)} responses were cut at the greatest length.')
        own = objects[0]['all']['emitted_is_tuned_argmax']['mean']
        if objects[0]['context'] == 'own' and own is not None and own < 100:
            lines.append(
                f"Run {run}: at {100 - own:.2g} % of positions the comparison's best token is not the one that was "
                'emitted: near-ties, or decoding and comparison disagree.'
            )
    return lines


def _examples(study: Study, pieces: curves.Pieces) -> list[Row]:
    """The first prompts that every run answered: each run's tokens as (text, class, title)."""
    ids = [set(table['example_id'].to_pylist()) for table in study.tokens.values()]
    order = dict.fromkeys(next(iter(study.tokens.values()))['example_id'].to_pylist())
    chosen = [example for example in order if all(example in known for known in ids)][:_EXAMPLES]
    return [
        {
            'id': example,
            'prompt': next((r[example].get('prompt') for r in study.responses.values() if example in r), None),
            'runs': {
                run: _spans(
                    table.filter(pc.equal(table['example_id'], example)), pieces, study.responses[run].get(example)
                )
                for run, table in study.tokens.items()
            },
        }
        for example in chosen
    ]


def _spans(rows: pa.Table, pieces: curves.Pieces, response: Row | None) -> list[Row]:
    texts = [pieces[token] for token in rows['token_id'].to_pylist()]
    # Pieces of a tokenizer that keeps no blanks need them back where the response has them.
    written = (response or {}).get('response', '').strip()
    gap = ' ' if ' ' in written and not any(' ' in text for text in texts) else ''
    return [
        {
            # A line end has no width of its own to be underlined.
            'text': (text if row['shift_class'] == 'unshifted' else text.replace('\n', '⏎\n')) + gap,
            'shift_class': row['shift_class'],
            'title': f'{row["shift_class"]}: base rank {row["base_rank"]}, KL {number(row["kl_tuned_base"])} nats; '
            f'the base would say {figures.token_text(pieces[row["base_argmax_id"]])}',
        }
        for text, row in zip(texts, rows.to_pylist(), strict=True)
    ]


def number(value: Any) -> str:
    """A number to three digits, whole numbers in full with thousands apart; an absent one is a dash."""
    if value is None:
        return '–'
    if isinstance(value, int):
        return f'{value:,}'
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:#.3g}'.removesuffix('.')


def _mean(row: Row, name: str) -> Markup:
    low, high = row.get(f'{name}_low'), row.get(f'{name}_high')
    if low is None or high is None:
        return Markup(number(row.get(name)))
    return Markup(f'{number(row[name])}<br><small>[{number(low)}, {number(high)}]</small>')


def _truth_cell(item: Row) -> Markup:
    return _mean({'value': item['value'], 'value_low': item['low'], 'value_high': item['high']}, 'value')
