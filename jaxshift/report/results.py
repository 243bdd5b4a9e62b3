"""What a workdir holds for the report, read into one object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxshift.errors import InputError
from jaxshift.judge import summary as judges
from jaxshift.report.tables import Row
from jaxshift.shift import records, summary
from jaxshift.store import jsonl, ledger, manifest
from jaxshift.store.paths import Workdir

# What tables and figures need of the token records; the other measures stand in the summaries.
_COLUMNS = [name for name in summary.COLUMNS if name not in ('tuned_entropy', 'base_entropy', 'js', 'total_variation')]


@dataclass(frozen=True)
class Results:
    """The files of a workdir; all but `experiment` and `unfinished` by run.

    Attributes:
      experiment: experiment.json.
      summaries: the objects of summary.json.
      metrics: the logged steps; none for a run that was tuned elsewhere.
      tokens: the token records of `headline`, of the runs that have them.
      responses: the objects of responses.jsonl by example id.
      truths: truth.json, for runs of the controlled world.
      explained: the other figures of causes/, by analysis; none that are outdated.
      judged: what judges say, by judge; none for a run that was not judged.
      preferred: how often judges prefer a run's responses to those of another, one object each.
      outdated: judge/ and causes/ files of each run that are of other responses, records or weights than there are now.
      forgetting: the rows of forgetting.json, for runs that were evaluated with the base.
      recorded: the settings that the record of a summary keeps; none for a run without a record.
      unfinished: runs that have not been compared.
      workdir: whose files they are.
    """

    experiment: Row
    summaries: dict[str, list[Row]]
    metrics: dict[str, list[Row]]
    tokens: dict[str, pa.Table]
    responses: dict[str, dict[str, Row]]
    truths: dict[str, Row]
    explained: dict[str, dict[str, Row]]
    judged: dict[str, dict[str, judges.Verdict]]
    preferred: dict[str, list[Row]]
    outdated: dict[str, list[str]]
    forgetting: dict[str, list[Row]]
    recorded: dict[str, Row]
    unfinished: list[str]
    workdir: Workdir

    @property
    def config(self) -> Row:
        return self.experiment['config']

    @cached_property
    def facts(self) -> Row | None:
        """What is true in the controlled world; None outside of it."""
        path = self.workdir.data / 'world' / 'facts.json'
        return _json(path, 'run --mode=data again') if path.exists() else None

    @cached_property
    def annotated(self) -> Row | None:
        """What people said of the responses; None where nobody was asked, or of others: see `outdated_sheet`."""
        return None if self.outdated_sheet else self._sheet

    @cached_property
    def outdated_sheet(self) -> bool:
        """Whether sheet/figures.json is of responses that were since replaced."""
        return bool(self._sheet and manifest.difference(self.workdir.root, self._sheet['files']))

    @cached_property
    def _sheet(self) -> Row | None:
        path = self.workdir.sheet / 'figures.json'
        return _json(path, 'run --mode=sheet again') if path.exists() else None

    @cached_property
    def base_responses(self) -> dict[str, Row]:
        """The base's own responses by example id; none where it was not asked."""
        return {row['example_id']: row for row in jsonl.read(self.workdir.responses('base'))}

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of what was trained on, by the data stage's record; none for a workdir without that stage."""
        settings = (ledger.read(self.workdir.done('data')) or {}).get('settings', {})
        return {name: settings[name] for name in ('records', 'template', 'tokenizer') if name in settings}

    @cached_property
    def data_counts(self) -> Row | None:
        """counts.json of the instruction data; None for a workdir without that stage."""
        path = self.workdir.data / 'counts.json'
        return _json(path, 'run --mode=data again') if path.exists() else None

    @property
    def headline(self) -> Row:
        """The windows that figures show, by context, template and length: the plain comparison if it was made."""
        return summary.headline(self.summaries.values())

    @property
    def samples(self) -> int:
        """Responses of each prompt."""
        return self.config.get('respond', {}).get('samples', 1)

    def kept(self, run: str, name: str) -> list[Row]:
        """The rows of causes/NAME.parquet of a run, which is ANALYSIS.TABLE; none where there is no such file."""
        path = self.workdir.causes(run) / f'{name}.parquet'
        try:
            return pq.read_table(path).to_pylist() if path.exists() else []
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error, _asked_again(name)) from error

    def of_headline(self, rows: Sequence[Row]) -> list[Row]:
        """Of rows of `tables.overview`, each run's first with the headline's windows: of several steps the last."""
        found: dict[str, Row] = {}
        for row in summary.of_windows(rows, self.headline):
            found.setdefault(row['run'], row)
        return list(found.values())

    @cached_property
    def prompts(self) -> dict[str, set[tuple]]:
        """What each run was asked: (example id, tokens), because another file may use the same ids."""
        return {
            run: {(example, tuple(row['prompt_token_ids'])) for example, row in rows.items()}
            for run, rows in self.responses.items()
        }

    @cached_property
    def shared_prompts(self) -> set[tuple]:
        """What every run was asked."""
        return set.intersection(*self.prompts.values())


def load(workdir: Workdir) -> Results:
    """Reads a workdir.

    Raises:
      InputError: a file is missing or broken, or no run has been compared yet.
    """
    experiment = _json(workdir.experiment, 'run a stage (--mode=sweep) first')
    configured = list(experiment['config']['runs'])
    found = sorted(path.name for path in workdir.run('').glob('*') if path.is_dir())
    runs = [*configured, *(name for name in found if name not in configured)]
    folders = {run: workdir.run(run) for run in runs if (workdir.run(run) / 'summary.json').exists()}
    if not folders:
        raise InputError(f'{workdir.run("")}: no run has a summary.json; run the sweep (--mode=sweep) first')
    summaries = {run: summary.read(folder / 'summary.json') for run, folder in folders.items()}
    records_of = {run: ledger.read(workdir.done('summary', run)) for run in folders}
    windows = summary.headline(summaries.values())
    outdated = {run: [*_judged_before(workdir, run), *_explained_before(workdir, run)] for run in folders}
    explained = {run: _explained(workdir.run(run), outdated[run]) for run in folders}
    return Results(
        experiment,
        summaries,
        {run: jsonl.read(folder / 'metrics.jsonl') for run, folder in folders.items()},
        {
            run: _tokens(folders[run] / 'tokens', windows, rows)
            for run, rows in summaries.items()
            if summary.of_windows(rows, windows)
        },
        {run: {r['example_id']: r for r in jsonl.read(f / 'responses.jsonl')} for run, f in folders.items()},
        {run: items['truth'] for run, items in explained.items() if 'truth' in items},
        {run: {key: value for key, value in items.items() if key != 'truth'} for run, items in explained.items()},
        {run: verdicts for run, folder in folders.items() if (verdicts := judges.read(folder / 'judge'))},
        {run: judges.read_pairs(folder / 'judge') for run, folder in folders.items()},
        outdated,
        {
            run: _json(path, 'remove it, or evaluate again (--mode=evaluate)')['rows']
            for run in folders
            if (path := workdir.forgetting(run)).exists()
        },
        {run: record['settings'] for run, record in records_of.items() if record},
        [run for run in runs if run not in folders],
        workdir,
    )


def _explained(folder: Path, outdated: Sequence[str]) -> dict[str, Row]:
    return {
        path.stem: _json(path, _asked_again(path.stem))
        for path in sorted((folder / 'causes').glob('*.json'))
        if path.relative_to(folder).as_posix() not in outdated
    }


def _explained_before(workdir: Workdir, run: str) -> list[str]:
    """Analyses by whose records they are of what the run or its comparison has since replaced."""
    swept, found = ledger.read(workdir.done('sweep', run)) or {}, []
    answers = {'responses': workdir.responses(run), 'base_responses': workdir.responses('base')}
    digests = {key: manifest.digests(workdir.root, [path]) for key, path in answers.items() if path.is_file()}
    now = {key: value['sha256'] for key, digest in digests.items() for value in digest.values()}
    now |= {key: swept['settings'][key] for key in ('model', 'base', 'reading') if key in swept.get('settings', {})}
    now |= {'tokens': swept['files']} if swept.get('files') else {}
    for path in sorted(workdir.causes(run).glob('*.json')):
        asked = (ledger.read(workdir.done('causes', f'{run}.{path.stem}')) or {}).get('settings', {})
        if any(asked[key] != now[key] for key in asked.keys() & now.keys()):
            found.append(f'causes/{path.name}')
    return found


def _judged_before(workdir: Workdir, run: str) -> list[str]:
    (now,) = manifest.digests(workdir.root, [workdir.responses(run)]).values()
    found = []
    for path in sorted((workdir.run(run) / 'judge').glob('*.jsonl')):
        judge, *pairs, _ = path.name.split('.')
        record = ledger.read(workdir.done('pairs' if pairs else 'judge', f'{run}.{judge}'))
        if record and record['settings'].get('responses') != now['sha256']:
            found.append(f'judge/{path.name}')
    return found


def _tokens(folder: Path, windows: Row, summaries: Sequence[Row]) -> pa.Table:
    # Of several steps the last comes first.
    columns = [*_COLUMNS, *(['step'] if 'step' in summaries[0] else [])]
    for key, rows in summary.groups(records.read(folder, columns)):
        if windows.items() <= key.items():
            return rows
    raise InputError(f'{folder}: no rows of context {windows["context"]!r}; sweep again')


def _json(path: Path, mend: str) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise _damaged(path, error, mend) from error


def _damaged(path: Path, error: Exception, mend: str) -> InputError:
    return InputError(f'{path}: cannot be read ({str(error).splitlines()[0]}); {mend}')


def _asked_again(analysis: str) -> str:
    return f'remove it, or ask again with --mode=causes --config.causes.analyses={analysis.partition(".")[0]}'
