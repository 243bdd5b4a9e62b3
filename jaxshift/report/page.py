"""The report: one plain offline page, its figures and its tables, from the files of a workdir alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from jaxshift.report import (
    browsing,
    caveats,
    drawings,
    explained,
    figures,
    findings,
    judged,
    overview,
    rendering,
    results,
    tables,
    truth,
)
from jaxshift.report.results import Results
from jaxshift.report.tables import Row
from jaxshift.shift import curves, summary
from jaxshift.shift.classes import CLASSES
from jaxshift.store import paths

_MOST_TOKENS_SHOWN = 10
_MOST_BYTES = 50_000_000  # of the page
_BYTES_AROUND = 20_000  # of what stands around the responses of the browser

Curves = dict[tuple[str, str, str], dict[str, curves.Curve]]


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
    overview.add_length_ratios(head['all'], found, bootstrap, seed)
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
    svgs = drawings.draw(found, rows['all'], head, tokens, lines, folder / 'figures')
    svgs |= explained.draw(sections, folder / 'figures')
    svgs |= judged.draw(judges, {row['run']: row['method'] for row in rows['all']}, folder / 'figures')
    rendered = partial(
        rendering.render,
        Path(__file__).with_name('page.html'),
        found.config['name'],
        found=found,
        warnings=[*caveats.sentences(found), *caveats.of_fonts(svgs.values())],
        verdict=overview.verdict(head['all']),
        findings=findings.sentences(head['all'], pairs, tokens, truths),
        svgs=svgs,
        sections=sections,
        judged=judged.sections(judges),
        agreement=judges.get('judge_agreement', []),
        preferences=judges.get('judged_preferences', []),
        rows=rows,
        head=head,
        truth=truth.table(truths),
        tokens=tokens,
        most_tokens=_MOST_TOKENS_SHOWN,
        classes=CLASSES,
        parts=curves.BINS,
        forgetting=saved.get('forgetting', []),
        saved=[name for name, items in saved.items() if items],
    )
    room = _MOST_BYTES - _BYTES_AROUND - len(rendered(browser=None).encode())
    reader = reader or (lambda ids: [pieces[token] for token in ids])
    browser = browsing.browser(found, reader, end_ids, max(room, 0))
    paths.write_text(folder / 'index.html', rendered(browser=browser))
    return folder / 'index.html'


def _curves(found: Results, end_ids: Collection[int], bootstrap: int, seed: int) -> Curves:
    chosen = {run: _measured(table) for run, table in found.tokens.items()}
    choices = {
        'all': chosen,
        'without_end': {run: summary.without_end(table, end_ids) for run, table in chosen.items()},
    }
    return {
        (measure, kind, which): {
            run: curve(table, measure, bootstrap, seed, found.samples) for run, table in by_run.items()
        }
        for which, by_run in choices.items()
        for measure in figures.BY_POSITION
        for kind, curve in (('absolute', curves.by_position), ('relative', curves.by_relative_position))
    }


def _measured(table: pa.Table) -> pa.Table:
    return table.append_column('base_probability', pc.exp(table['base_logprob'].cast(pa.float64())))


def _curve_rows(lines: Curves, windows: Mapping[str, object]) -> list[Row]:
    return [
        row
        for (measure, kind, which), by_run in lines.items()
        for run, curve in by_run.items()
        for row in tables.curve_rows(curve, run=run, **windows, measure=measure, kind=kind, positions_counted=which)
    ]
