"""`--mode=list`: the configs, and the stages of a workdir that are done."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from jaxshift import options
from jaxshift.lines import described, folded
from jaxshift.store import record

ORDER = (
    'world', 'data', 'base', 'advise', 'train', 'respond', 'sweep', 'summary', 'knowledge', 'causes', 'judge',
    'pairs', 'scores', 'evaluate', 'forgetting', 'report', 'export', 'card', 'answers', 'verify_export',
)  # fmt: skip

Records = dict[str, list[str]]  # by stage, what it was done for: runs, or RUN.ANALYSIS and the like; '' for all


def text(configs: Path, workdir: Path | None, cells: Collection[str], width: int) -> str:
    """What there is to run, and what has been run.

    Args:
      configs: the folder of the config files.
      workdir: whose stages are listed; None: those of no workdir.
      cells: names of those that the config of the workdir has; none: it is one study, or not known.
      width: columns of the terminal.
    """
    found = {os.path.relpath(path): line for path, line in options.config_files(configs).items()}
    lines = ['configs:', *described(found.items(), width)]
    if workdir is not None:
        begun = {folder.parent.name: _records(folder.parent) for folder in sorted((workdir / 'cells').glob('*/done'))}
        lines += ['', f'{workdir}:']
        lines += [*_grid(begun, cells, width)] if begun or cells else [*described(stages(*_records(workdir)), width)]
    return '\n'.join(lines)


def stages(done: Records, begun: Records) -> list[tuple[str, str]]:
    """Each stage that was begun: what it is done for, and for what it is not finished."""
    found = []
    for stage in (each for each in ORDER if each in done or each in begun):
        states = [_state(word, runs[stage]) for word, runs in (('done', done), ('begun', begun)) if stage in runs]
        found.append((stage, '; '.join(states)))
    return found or [('nothing is done yet', '')]


def _grid(begun: dict[str, tuple[Records, Records]], cells: Collection[str], width: int) -> Iterator[str]:
    """Cells in the same state together: how many records of each stage are done, and which are not finished."""
    states: dict[str, list[str]] = {}
    for name in dict.fromkeys([*cells, *begun]):
        states.setdefault(_counts(*begun[name]) if name in begun else 'not begun', []).append(name)
    for state, names in states.items():
        yield from folded(f'{len(names)} {"cell" if len(names) == 1 else "cells"}: {state}', width, 2)
        yield from folded(', '.join(names), width, 6)


def _counts(done: Records, begun: Records) -> str:
    counts = ', '.join(f'{stage} {len(done[stage])}' for stage in ORDER if stage in done)
    return f'done {counts or "nothing"}' + (f'; begun {", ".join(begun)}' if begun else '')


def _records(workdir: Path) -> tuple[Records, Records]:
    """What is done, and what is not finished."""
    done: Records = {}
    begun: Records = {}
    for path in sorted((workdir / 'done').glob('*.json')):
        stage, _, run = path.stem.partition('-')
        kept = record.read(path)
        finished = kept is not None and kept['files'] is not None
        (done if finished else begun).setdefault(stage, []).append(run)
    return done, begun


def _state(word: str, names: Sequence[str]) -> str:
    """Runs; where each has several records, as of analyses, those that some runs have, before these runs."""
    if names == ['']:
        return word
    parts: dict[str, list[str]] = {}
    for name in names:
        run, _, part = name.partition('.')
        parts.setdefault(run, []).append(part)
    runs: dict[tuple[str, ...], list[str]] = {}
    for run, had in parts.items():
        runs.setdefault(tuple(had), []).append(run)
    told = [' of '.join(filter(None, (', '.join(had), ', '.join(some)))) for had, some in runs.items()]
    return f'{word} {"; ".join(told)}'
