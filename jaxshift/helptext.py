"""What `--help` prints: flags, modes, exit codes, and the keys of the config."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap

from jaxshift import config, options

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


def text(flags: dict[str, str], path: str | None, experiment: config.Experiment) -> str:
    """The whole help.

    Args:
      flags: what is typed, for example 'mode=MODE', and its help.
      path: the config file that was named, or None.
      experiment: what it holds, or one of defaults.
    """
    lines = [
        'What did tuning do to my model? Tunes a Llama by LoRA and in full, and compares base and tuned distributions.',
        '',
        'usage: python run.py --config=configs/NAME.py [--config.KEY=VALUE ...] [--workdir=DIR] [--mode=MODE]',
        '',
        *(f'  --{typed:14} {note}' for typed, note in flags.items()),
        '\nmodes:',
        *(f'  {name:16} {note}' for name, note in MODES.items()),
        '\nexit codes:',
        *(f'  {code:<16} {note}' for code, note in EXIT_CODES.items()),
        f'\nkeys of {path}' if path else '\nkeys and their defaults; name --config to see the values of a config',
        '(set one by --config.KEY=VALUE, for example --config.sweep.top_k=20)',
        table(experiment),
    ]
    return '\n'.join(lines)


def table(experiment: config.Experiment) -> str:
    """All keys with their values, types and help, one paragraph a section; the runs share one."""
    shown = []
    runs = {f'runs.{name}.': name for name in experiment.runs}
    same = [section for section in options.sections(experiment) if section.prefix in runs]
    for section in options.sections(experiment):
        if section.prefix not in runs:
            shown.append(section)
        elif section.prefix == same[0].prefix:
            names = ', '.join(runs.values())
            title = section.title if names == 'RUN' else f'{section.title} RUN is one of {names}.'
            merged = [_merged(list(runs.values()), each) for each in zip(*(one.options for one in same), strict=True)]
            shown.append(options.Section('runs.RUN.', title, merged))
    every = [option for section in shown for option in section.options]
    left = max(len(_setting(option)) for option in every)
    middle = max(len(option.type) for option in every)
    width = max(100, shutil.get_terminal_size().columns)
    lines = []
    for section in shown:
        lines.append(f'\n{section.title}')
        for option in section.options:
            start = f'  {_setting(option):{left}}  {option.type:{middle}}  '
            lines += textwrap.wrap(option.help, width, initial_indent=start, subsequent_indent=' ' * len(start))
    return '\n'.join(lines)


def _merged(names: list[str], same: tuple[options.Option, ...]) -> options.Option:
    """One line for the same key of all runs."""
    first = same[0]
    key = f'runs.RUN.{first.key.rpartition(".")[2]}'
    if all(option.value == first.value for option in same):
        return dataclasses.replace(first, key=key)
    each = ', '.join(f'{name}: {option.value}' for name, option in zip(names, same, strict=True))
    return dataclasses.replace(first, key=key, value='...', help=f'{first.help}; {each}')


def _setting(option: options.Option) -> str:
    """The option as one would type it behind `--config.`."""
    value = option.value
    text = ','.join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f'{option.key}={text if " " not in text else repr(text)}'
