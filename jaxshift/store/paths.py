"""Where everything lies in a workdir, and writing that leaves no half a file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workdir:
    """The layout that other tools read."""

    root: Path

    @property
    def experiment(self) -> Path:
        return self.root / 'experiment.json'

    @property
    def base(self) -> Path:
        return self.root / 'base'

    @property
    def data(self) -> Path:
        return self.root / 'data'

    def treated(self, treatment: str) -> Path:
        """The instruction data in the form of a treatment; '' is the data as they are."""
        return self.data / 'treatments' / treatment if treatment else self.data

    @property
    def advice(self) -> Path:
        """Which method the data call for; what the base was asked for it lies in the folder of that name."""
        return self.root / 'advice.json'

    @property
    def report(self) -> Path:
        return self.root / 'report'

    @property
    def shown_data(self) -> Path:
        """What the data look like; no part of the report, beside which it lies."""
        return self.report / 'show_data.html'

    def run(self, name: str) -> Path:
        return self.root / 'runs' / name

    def responses(self, name: str) -> Path:
        """What a run answered, or the base, which is named `base`."""
        return (self.base if name == 'base' else self.run(name)) / 'responses.jsonl'

    def judged(self, run: str, judge: str) -> Path:
        """What a judge says about each response of a run; beside it `.pairs.jsonl`, where it compared two."""
        return self.run(run) / 'judge' / f'{judge}.jsonl'

    @property
    def replies(self) -> Path:
        """What judges replied, and what it cost: by the key of the question."""
        return self.root / 'judge' / 'cache.jsonl'

    @property
    def sheet(self) -> Path:
        """Sheets for people, and figures.json of what they said."""
        return self.root / 'sheet'

    def causes(self, run: str) -> Path:
        """Why a run shifted: ANALYSIS.json and ANALYSIS.TABLE.parquet."""
        return self.run(run) / 'causes'

    def evaluate(self, name: str) -> Path:
        """Results of a run's tasks, or of the base's, which is named `base`."""
        return (self.base if name == 'base' else self.run(name)) / 'evaluate'

    def forgetting(self, name: str) -> Path:
        return self.evaluate(name) / 'forgetting.json'

    def done(self, stage: str, run: str = '') -> Path:
        """The record that a stage has finished."""
        return self.root / 'done' / (f'{stage}-{run}.json' if run else f'{stage}.json')


def write_text(path: Path, text: str) -> None:
    """Writes a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    partial.write_text(text, encoding='utf-8')
    os.replace(partial, path)


def write_json(path: Path, value) -> None:
    """Writes a whole JSON file or nothing."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + '\n')
