"""`--mode=list`: the configs, and the stages of a workdir that are done."""

from __future__ import annotations

import os
from pathlib import Path

from jaxshift import options
from jaxshift.store import ledger

ORDER = (
    'world', 'data', 'base', 'advise', 'train', 'respond', 'sweep', 'summary', 'knowledge', 'causes', 'judge',
    'pairs', 'scores', 'evaluate', 'forgetting', 'report', 'export', 'card', 'answers', 'verify_export',
)  # fmt: skip


def text(configs: Path, workdir: Path | None) -> str:
    """What there is to run, and what has been run.

    Args:
      configs: the folder of the config files.
      workdir: whose stages are listed; None: those of no workdir.
    """
    found = {os.path.relpath(path): line for path, line in options.config_files(configs).items()}
    width = max(map(len, found), default=0)
    lines = ['configs:', *(f'  {path:{width}}  {line}' for path, line in found.items())]
    if workdir is not None:
        found_cells = sorted((workdir / 'cells').glob('*/done'))
        told = [_cell(folder.parent) for folder in found_cells] or stages(workdir) or ['nothing is done yet']
        lines += ['', f'{workdir}:', *(f'  {line}' for line in told)]
    return '\n'.join(lines)


def stages(workdir: Path) -> list[str]:
    """A line a stage that was begun: its runs that are done, and those that are not finished."""
    done, begun = _records(workdir)
    lines = []
    for stage in (each for each in ORDER if each in done or each in begun):
        states = [_state(word, runs[stage]) for word, runs in (('done', done), ('begun', begun)) if stage in runs]
        lines.append(f'{stage:8} {"; ".join(states)}')
    return lines


def _cell(workdir: Path) -> str:
    """A cell of a grid in one line: how many records of each stage are done, and which stages are not finished."""
    done, begun = _records(workdir)
    counts = ', '.join(f'{stage} {len(done[stage])}' for stage in ORDER if stage in done)
    return f'{workdir.name}: done {counts or "nothing"}' + (f'; begun {", ".join(begun)}' if begun else '')


def _records(workdir: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Runs by stage that are done, and those that are not finished."""
    done: dict[str, list[str]] = {}
    begun: dict[str, list[str]] = {}
    for path in sorted((workdir / 'done').glob('*.json')):
        stage, _, run = path.stem.partition('-')
        record = ledger.read(path)
        finished = record is not None and record['files'] is not None
        (done if finished else begun).setdefault(stage, []).append(run)
    return done, begun


def _state(word: str, runs: list[str]) -> str:
    return word if runs == [''] else f'{word} {", ".join(runs)}'
