"""The report: one plain offline page, its figures and its tables, from the files of a workdir alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from jaxshift.report import browsing, caveats, drawings, explained, findings, judged, results, tables, truth
from jaxshift.report.results import Results
from jaxshift.report.style import token_text
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number
from jaxshift.shift import curves, summary
from jaxshift.shift.classes import CLASSES
from jaxshift.store import paths

_MOST_TOKENS_SHOWN = 10

Curves = dict[tuple[str, str], dict[str, curves.Curve]]


def write(
    workdir: str | Path, pieces: curves.Pieces, end_ids: Collection[int], reader: browsing.Reader | None = None
) -> Path:
    """Writes report/index.html, report/figures and report/tables; returns the page's path.

    Args:
      workdir: with at least one run that has been compared.
      pieces: token id -> decoded text.
      end_ids: the end tokens, which figures and tables show with and without.
      reader: gives the text that each token of a text begins; by default its piece.

    Raises:
      InputError: a file is missing or broken, or no run has been compared yet.
    """
    found = results.load(paths.Workdir(Path(workdir)))
    folder = paths.Workdir(Path(workdir)).report
    bootstrap, seed = found.config['sweep']['bootstrap'], found.config['seed']
    rows = {
        which: tables.overview(found.summaries, found.metrics, found.config['runs'], which)
        for which in summary.POSITIONS
    }
    head = {which: found.of_headline(rows[which]) for which in rows}
    truths = truth.rows(found.truths)
    truth.add_to_overview(head['all'], truths)
    tokens = {run: tables.top_tokens(table, pieces, end_ids) for run, table in found.tokens.items()}
    lines = _curves(found, end_ids, bootstrap, seed)
    pairs = tables.pairs(head['all'], found.tokens, bootstrap, seed, found.samples)
    saved = {
        'runs': [*rows['all'], *rows['without_end']],
        'pairs': pairs,
        'truth': truths,
        'top_tokens': [{'run': run, **row} for run, items in tokens.items() for row in items],
        'curves': _curve_rows(lines, found.headline),
    }
    judges = judged.tables(found, bootstrap, seed)
    saved |= judges
    sections = explained.sections(found)
    saved |= {name: list(items) for section in sections for name, items in section.tables.items()}
    if found.forgetting:
        saved['forgetting'] = tables.forgetting(found.forgetting)
    for name, items in saved.items():
        tables.save(items, folder / 'tables', name)
    page = template(Path(__file__).with_name('page.html')).render(
        found=found,
        warnings=caveats.sentences(found),
        findings=findings.sentences(head['all'], pairs, tokens, truths),
        svgs=drawings.draw(found, rows['all'], head, tokens, lines, folder / 'figures')
        | explained.draw(sections, folder / 'figures')
        | judged.draw(judges, {row['run']: row['method'] for row in rows['all']}, folder / 'figures'),
        sections=sections,
        judged=judged.sections(judges),
        agreement=judges.get('judge_agreement', []),
        preferences=judges.get('judged_preferences', []),
        rows=rows,
        head=head,
        truth=truth.table(truths),
        tokens={run: items[:_MOST_TOKENS_SHOWN] for run, items in tokens.items()},
        browser=browsing.browser(found, reader or (lambda ids: [pieces[token] for token in ids]), end_ids),
        script=browsing.script(),
        classes=CLASSES,
        forgetting=saved.get('forgetting', []),
        saved=[name for name, items in saved.items() if items],
    )
    paths.write_text(folder / 'index.html', page)
    return folder / 'index.html'


def _curves(found: Results, end_ids: Collection[int], bootstrap: int, seed: int) -> Curves:
    choices = {
        'all': found.tokens,
        'without_end': {run: summary.without_end(table, end_ids) for run, table in found.tokens.items()},
    }
    return {
        (kind, which): {
            run: curve(table, 'kl_tuned_base', bootstrap, seed, found.samples) for run, table in by_run.items()
        }
        for which, by_run in choices.items()
        for kind, curve in (('absolute', curves.by_position), ('relative', curves.by_relative_position))
    }


def _curve_rows(lines: Curves, windows: Mapping[str, object]) -> list[Row]:
    return [
        row
        for (kind, which), by_run in lines.items()
        for run, curve in by_run.items()
        for row in tables.curve_rows(curve, run=run, **windows, kind=kind, positions_counted=which)
    ]


def template(path: Path) -> Template:
    """A page's template, which may use the filters below and include the files of this folder."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        'number': number, 'counted': counted, 'mean': _mean, 'truth': _truth, 'shown': token_text, 'source': _source,
        'windows': summary.described, 'table': explained.shown, 'cell': _cell,
    }  # fmt: skip
    return environment.from_string(path.read_text(encoding='utf-8'))


def _mean(row: Row, name: str) -> Markup:
    """A mean, and below it its interval."""
    low, high = row.get(f'{name}_low'), row.get(f'{name}_high')
    if low is None or high is None:
        return Markup(number(row.get(name)))
    return Markup(f'{number(row[name])}<br><small>[{number(low)}, {number(high)}]</small>')


def _truth(row: Row | None) -> Markup:
    """A figure of the world's truth, where there is one."""
    return _mean({'value': row['value'], 'value_low': row['low'], 'value_high': row['high']} if row else {}, 'value')


def _cell(value: Any) -> str:
    """A value of a table, whatever it is."""
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return value if isinstance(value, str) else number(value)


def _source(source: str) -> str:
    """Where something comes from."""
    return {'': 'none', 'world:': 'made here, the controlled world'}.get(source, source)
