"""MkDocs' hook, and the page of config keys, which `python docs/hooks.py` writes from the typed config."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jaxshift import options
from jaxshift.config import Experiment, Run, Treatment, World

FOUND = 'findings.md'  # what a study gave; a checkout may not have it yet


def on_config(config: Any) -> None:
    """Adds the findings to the navigation."""
    if (Path(config.docs_dir) / FOUND).is_file():
        results = next(section['Results'] for section in config.nav if 'Results' in section)
        results.insert(0, {'Findings': FOUND})


def reference() -> str:
    """Every key with its type, default and help, as Markdown; RUN and NAME stand for names of your own."""
    every = Experiment(runs={'RUN': Run()}, treatments={'NAME': Treatment()}, world=World())
    lines = [
        '# Keys of a config',
        '',
        'Written from `jaxshift/config.py`. A config file sets a key by its dataclass (`Sweep(top_k=20)`), the command',
        'line by `--config.sweep.top_k=20`, Python by `sweep={"top_k": 20}`. On the command line a list is `a,b`.',
        'RUN and NAME stand for names of your own; a default that is empty is shown so.',
    ]
    for section in options.sections(every):
        lines += ['', f'## {section.prefix.rstrip(".") or "At the top"}', '', _plain(section.title), '']
        lines += ['| key | type | default | meaning |', '|---|---|---|---|']
        for option in section.options:
            value = ','.join(map(str, option.value)) if isinstance(option.value, tuple) else str(option.value)
            shown = f'`{value}`' if value else ''
            lines.append(f'| `{option.key}` | `{option.type}` | {shown} | {_plain(option.help)} |')
    return '\n'.join([*lines, ''])


def _plain(text: str) -> str:
    """Text in which nothing is Markdown."""
    return re.sub(r'([\\`*_\[\]<>|#~])', r'\\\1', text)


if __name__ == '__main__':
    Path(__file__).with_name('reference.md').write_text(reference(), encoding='utf-8')
