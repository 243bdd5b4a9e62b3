"""A grid's report: one plain offline page, figures, tables and findings.md, from the workdirs of its cells alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from markupsafe import Markup

from jaxshift.cells import Cell, experiments
from jaxshift.config import Experiment
from jaxshift.devices import process
from jaxshift.grid import comparisons, findings, markdown, results, sections
from jaxshift.grid.pairing import KEY
from jaxshift.report import explained, reference, rendering, shifts, tables
from jaxshift.report.tables import Row
from jaxshift.shift import summary
from jaxshift.store import paths
from jaxshift.study import MADE_HERE, Study
from jaxshift.terminal import table


def write(
    common: Experiment, cells: Mapping[str, Cell], folder: Path, stop: process.StopSignal, say: Callable[[str], None]
) -> Path:
    """Writes report/index.html, findings.md, figures and tables of all cells that have results; returns the page.

    Raises:
      InputError: no cell has results.
    """
    asked = experiments(common, cells)
    vocabularies: dict[str, results.Vocabulary] = {}

    def vocabulary(name: str) -> results.Vocabulary:
        source = asked[name].base.source
        key = name if source == MADE_HERE else source  # cells with one base share its tokenizer
        if key not in vocabularies:
            study = Study(asked[name], paths.Workdir(folder / 'cells' / name), (), stop, say)
            vocabularies[key] = study.pieces, study.template.stop_ids
        return vocabularies[key]

    found, place = results.load(folder, cells, asked, common.runs, vocabulary), paths.Workdir(folder).report
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in found.rows:
        groups.setdefault((row['base'], row['data']), []).append(row)
    whole: dict[str, list[Row]] = {
        'cells': found.rows,
        'means': comparisons.means(found.rows),
        'comparisons': comparisons.table(found.rows),
        'findings': findings.table(found.rows),
    }
    whole['reference'] = reference.compare(whole['means'])
    saved = dict(whole)
    parts: dict[str, list[explained.Section]] = {}
    asked_of = {key: [row for row in whole['findings'] if (row['base'], row['data']) == key] for key in groups}
    for (base, data), answers in asked_of.items():
        parts[f'Base {base}, data {data}'] = made = list(sections.of_group(found, answers, base, data))
        for name, items in ((name, items) for section in made for name, items in section.tables.items()):
            if name not in whole:
                saved.setdefault(name, []).extend({'base': base, 'data': data, **item} for item in items)
    for name, items in saved.items():
        if items:
            tables.save(items, place / 'tables', name)
    drawn: dict[str, Markup] = {}
    for each in parts.values():
        drawn |= explained.draw(each, place / 'figures')
    record = json.loads(paths.Workdir(folder).experiment.read_text(encoding='utf-8'))
    text = rendering.render(
        Path(__file__).with_name('page.html'), common.name, name=common.name, record=record, parts=parts, svgs=drawn,
        missing=found.missing, cells=cells, saved=[name for name, items in saved.items() if items],
    )  # fmt: skip
    paths.write_text(place / 'index.html', text)
    told = markdown.text(common.name, record['command'], groups, asked_of, list(found.missing))
    paths.write_text(place / 'findings.md', told)
    say(shifts.title('each run, over seeds', [{name: row[name] for name in summary.PLAIN} for row in found.rows]))
    table(shifts.over_seeds(whole['means'], KEY))
    say(f'{len(cells) - len(found.missing)} of {len(cells)} cells: {place / "index.html"}, {place / "findings.md"}')
    return place / 'index.html'
