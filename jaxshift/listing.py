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

STATES = ('done', 'damaged', 'begun')
# By state and stage, what it is of: runs, or RUN.ANALYSIS and the like; '' for all.
Records = dict[str, dict[str, list[str]]]


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
        if not workdir.is_dir():
            lines += ['  no such folder']
        elif begun or cells:
            lines += _grid(begun, cells, width)
        else:
            lines += described(stages(_records(workdir)), width)
    return '\n'.join(lines)


def stages(records: Records) -> list[tuple[str, str]]:
    """Each stage that was begun: what it is done for, and for what its files are damaged, or it is not finished."""
    found = []
    for stage in ORDER:
        if states := [_state(word, records[word][stage]) for word in STATES if stage in records[word]]:
            found.append((stage, '; '.join(states)))
    return found or [('nothing is done yet', '')]


def _grid(begun: dict[str, Records], cells: Collection[str], width: int) -> Iterator[str]:
    """Cells in the same state together: how many records of each stage are done, and which are not finished."""
    states: dict[str, list[str]] = {}
    for name in dict.fromkeys([*cells, *begun]):
        states.setdefault(_counts(begun[name]) if name in begun else 'not begun', []).append(name)
    for state, names in states.items():
        yield from folded(f'{len(names)} {"cell" if len(names) == 1 else "cells"}: {state}', width, 2)
        yield from folded(', '.join(names), width, 6)


def _counts(records: Records) -> str:
    done = records['done']
    counts = ', '.join(f'{stage} {len(done[stage])}' for stage in ORDER if stage in done)
    others = (f'; {word} {", ".join(records[word])}' for word in STATES[1:] if records[word])
    return f'done {counts or "nothing"}{"".join(others)}'


def _records(workdir: Path) -> Records:
    """The records of a workdir; whether its settings are still those of a config is not asked."""
    found: Records = {word: {} for word in STATES}
    for path in sorted((workdir / 'done').glob('*.json')):
        stage, _, run = path.stem.partition('-')
        kept = record.read(path)
        files = kept['files'] if kept else None
        word = 'begun' if files is None else 'damaged' if record.altered(workdir, files) else 'done'
        found[word].setdefault(stage, []).append(run)
    return found


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
