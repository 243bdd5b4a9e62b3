"""What `--help` prints: flags, modes, exit codes, and the keys of the config."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator

from jaxshift import config, options
from jaxshift.lines import described

ABOUT = 'What did tuning do to my model? Tunes a Llama by LoRA and in full, and compares base and tuned distributions.'
WIDEST = 100  # columns: longer lines are hard to read
COLUMN = 15  # columns of flags, modes and exit codes

MODES = {
    'run': 'every stage in order; what is finished and still sound is not done again (default)',
    'data': 'read and tokenise the instruction data; make the controlled world where the config has one',
    'train': 'tune every run',
    'respond': 'let every tuned model answer the prompts',
    'sweep': 'compare base and tuned distributions at every position of the responses',
    'causes': 'ask why the runs shifted, see config.causes.analyses',
    'judge': 'score the responses by the judge that the config names',
    'evaluate': 'run the tasks of lm-evaluation-harness that config.evaluate names, on the base and every run',
    'report': 'write the page, its figures and tables',
    'export': 'write the adapter, the folded Hugging Face model and a card of every run, for other tools',
    'verify_export': 'read what export wrote, and print how far its logits are from those of the run',
    'show_data': 'show the first examples as the model will see them: every token, trained or masked',
    'sheet': 'write responses for people to mark; sum up what they marked, and how far they agree',
    'advise': 'before tuning: does the base know the data? LoRA, full, or pre-train further first, and why',
    'plan': 'compile every step for --topology, without weights or data: does it fit, how long does it take',
    'list': 'show the configs, and which stages of the workdir are done',
}
EXIT_CODES = {
    0: 'done',
    1: 'failed',
    2: 'usage, config or input at fault',
    3: 'plan: it does not fit',
    75: 'stopped on a signal with everything saved: the same command goes on from there',
}


def columns() -> int:
    """How wide lines are: as the terminal, but not too wide to be read."""
    return max(40, min(shutil.get_terminal_size().columns, WIDEST))


def text(flags: dict[str, str], path: str | None, experiment: config.Experiment) -> str:
    """The whole help.

    Args:
      flags: what is typed, for example 'mode=MODE', and its help.
      path: the config file that was named, or None.
      experiment: what it holds, or one of defaults.
    """
    width = columns()
    usage = 'python run.py --config=configs/NAME.py [--config.KEY=VALUE ...] [--workdir=DIR] [--mode=MODE]'
    keys = f'keys of {path}' if path else 'keys and their defaults; name --config to see the values of a config'
    lines = [
        *textwrap.wrap(ABOUT, width),
        '',
        *textwrap.wrap(f'usage: {usage}', width, subsequent_indent=' ' * 7, break_on_hyphens=False),
        '',
        *described(((f'--{typed}', note) for typed, note in flags.items()), width, COLUMN),
        '',
        'modes:',
        *described(MODES.items(), width, COLUMN),
        '',
        'exit codes:',
        *described(((str(code), note) for code, note in EXIT_CODES.items()), width, COLUMN),
        '',
        *textwrap.wrap(keys, width),
        *textwrap.wrap('(set one by --config.KEY=VALUE, for example --config.sweep.top_k=20)', width),
        *table(experiment, width),
    ]
    return '\n'.join(lines)


def table(experiment: config.Experiment, width: int = WIDEST) -> Iterator[str]:
    """All keys: `key = value  (type)`, and below each its help; a paragraph a section, and one for all runs."""
    runs = {f'runs.{name}.': name for name in experiment.runs}
    same = [section for section in options.sections(experiment) if section.prefix in runs]
    for section in options.sections(experiment):
        if section.prefix not in runs:
            yield from _section(section, width)
        elif section.prefix == same[0].prefix:
            names = ', '.join(runs.values())
            title = section.title if names == 'RUN' else f'{section.title} RUN is one of {names}.'
            merged = [_merged(list(runs.values()), each) for each in zip(*(one.options for one in same), strict=True)]
            yield from _section(options.Section('runs.RUN.', title, merged), width)


def _section(section: options.Section, width: int) -> Iterator[str]:
    yield ''
    yield from textwrap.wrap(section.title, width)
    for option in section.options:
        setting = f'{option.key} = {_value(option)}  ({option.type})'
        yield from textwrap.wrap(setting, width, initial_indent='  ', subsequent_indent=' ' * 8, break_on_hyphens=False)
        yield from textwrap.wrap(option.help, width, initial_indent=' ' * 6, subsequent_indent=' ' * 6)


def _merged(names: list[str], same: tuple[options.Option, ...]) -> options.Option:
    """One line for the same key of all runs."""
    first = same[0]
    key = f'runs.RUN.{first.key.rpartition(".")[2]}'
    if all(option.value == first.value for option in same):
        return dataclasses.replace(first, key=key)
    each = ', '.join(f'{name}: {option.value}' for name, option in zip(names, same, strict=True))
    return dataclasses.replace(first, key=key, value='...', help=f'{first.help}; {each}')


def _value(option: options.Option) -> str:
    """A value as one would type it, with blanks and line ends that can be seen."""
    parts = option.value if isinstance(option.value, tuple | list) else (option.value,)
    return ', '.join(map(_typed, map(str, parts))) or '()'


def _typed(text: str) -> str:
    return text if text.isprintable() and text.strip() == text != '' else repr(text)
