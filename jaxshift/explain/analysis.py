"""What an analysis is: what it depends on, what it does, and where its files lie."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxshift.depends import Settings
from jaxshift.devices import process
from jaxshift.store import jsonl, paths
from jaxshift.study import Study
from jaxshift.terminal import Bar


@dataclass(frozen=True)
class Analysis:
    """One question about a run.

    Attributes:
      applies: whether the study can ask it; where not, it is passed over and `study.say` has said why.
      settings: of a study and a run, everything that the answer depends on.
      work: answers it by `keep`, and returns the files.
      computes: whether it needs a model, and so the mesh and every process.
      prepare: does once what all runs share, before their settings are asked for; None: there is nothing.
      lacking: why a run is passed over where others are not, in words; empty where it is not.
    """

    applies: Callable[[Study], bool]
    settings: Callable[[Study, str], Settings]
    work: Callable[[Study, str], list[Path]]
    computes: bool = False
    prepare: Callable[[Study], None] | None = None
    lacking: Callable[[Study, str], str] = lambda study, run: ''


def keep(
    study: Study, run: str, analysis: str, figures: Mapping[str, Any], tables: Mapping[str, pa.Table] | None = None
) -> list[Path]:
    """Writes causes/ANALYSIS.json (`figures`) and causes/ANALYSIS.NAME.parquet of each table; returns the paths.

    Of several processes that come here the leader writes; then the points of `each` have served.
    """
    folder, tables = study.workdir.causes(run), tables or {}
    written = folder / f'{analysis}.json', *(folder / f'{analysis}.{name}.parquet' for name in tables)
    if process.leads():
        paths.write_json(written[0], figures)
        for path, table in zip(written[1:], tables.values(), strict=True):
            pq.write_table(table, path)
        _partial(study, run, analysis).unlink(missing_ok=True)
    return list(written)


def each(
    study: Study, run: str, analysis: str, points: Sequence[dict[str, Any]], work: Callable[[dict[str, Any]], Any]
) -> list[dict[str, Any]]:
    """Every point with what `work` says of it, an object of JSON.

    What was said is kept, so a stop loses one point: causes/ANALYSIS.partial.jsonl, until `keep` has written figures.
    """
    path = _partial(study, run, analysis)
    process.by_leader(path.name, lambda: jsonl.mend(path))
    rows = process.by_leader(path.name, lambda: jsonl.read(path))
    with Bar(f'{analysis} {run}') as bar:
        for point in points[len(rows) :]:
            rows.append({**point, **work(point)})
            if process.leads():
                with path.open('a', encoding='utf-8') as file:
                    file.write(jsonl.line(rows[-1]))
            bar(len(rows), len(points))
            study.stop.check()
    return rows


def _partial(study: Study, run: str, analysis: str) -> Path:
    return study.workdir.causes(run) / f'{analysis}.partial.jsonl'


def clear(study: Study, run: str, analysis: str) -> None:
    """Removes what other settings left behind. Where another analysis was made of it, such as a proof, this is said."""
    for path in sorted(study.workdir.causes(run).glob(f'{analysis}.*')):
        if path.suffix == '.json' and path.stem != analysis:
            study.say(f'causes {run}.{path.stem}: removed, it was made of {analysis} as it was; ask for it again')
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
