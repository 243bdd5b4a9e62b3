"""jaxshift from the command line: `python run.py --config=configs/demo.py`. Flags, help, mode and exit code."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from jaxshift import config, options
from jaxshift.errors import InputError, RunFailed, Stopped

MODES = ('run', 'data', 'train', 'respond', 'sweep', 'causes', 'report', 'list')
FLAGS = flags.FLAGS
CONFIG = config_flags.DEFINE_config_file('config', None, 'the experiment, for example configs/demo.py')
WORKDIR = flags.DEFINE_string('workdir', None, 'where everything is written; workdirs/NAME by default')
MODE = flags.DEFINE_enum('mode', 'run', MODES, 'run: every stage in order; else one stage; list: configs and stages')
ONLY = flags.DEFINE_list('only', [], 'names of the runs to work on; all by default')
DEBUG = flags.DEFINE_bool('debug', False, 'show the traceback of an error')


def help_text(path: str | None) -> str:
    """What `--help` prints: the flags, and the keys of the config if one is named."""
    lines = [
        'usage: python run.py --config=configs/NAME.py [--config.KEY=VALUE ...] [--workdir=DIR] [--mode=MODE]',
        '                     [--only=RUN,RUN] [--debug]',
        '',
        *(f'  --{flag.name:<9} {flag.help}' for flag in FLAGS.flags_by_module_dict()[sys.argv[0]]),
        f'\nmodes: {", ".join(MODES)}',
        'exit codes: 0 done, 1 failed, 2 usage, config or input at fault, 75 stopped with everything saved',
        f'\nkeys of {path}:' if path else '\nkeys (name --config to see the values of a config):',
    ]
    experiment = load(path) if path else config.Experiment(runs={'RUN': config.Run()}, world=config.World())
    for option in options.options(experiment):
        lines.append(f'  --config.{option.key}={option.value!r} ({option.type})\n      {option.help}')
    return '\n'.join(lines)


def load(path: str) -> config.Experiment:
    """Runs a config file."""
    if not Path(path).is_file():
        raise InputError(f'{path}: no such config file; --mode=list shows those of configs/')
    space: dict = {'__file__': path}
    exec(compile(Path(path).read_text(encoding='utf-8'), path, 'exec'), space)
    if 'get_config' not in space:
        raise InputError(f'{path}: has no function get_config(); see configs/demo.py')
    return space['get_config']()


def parse(argv: list[str]) -> config.Experiment | None:
    """Reads flags and config; None when the mode needs no config."""
    path = next((text.partition('=')[2] for text in argv if text.startswith('--config=')), None)
    if path is not None:
        options.check_overrides(argv[1:], load(path))
    try:
        rest = FLAGS(argv)
    except (flags.Error, TypeError, ValueError) as error:
        raise InputError(f'{str(error).splitlines()[0]}; --help lists flags and keys') from error
    if len(rest) > 1:
        raise InputError(f'unexpected argument {rest[1]!r}; flags begin with --')
    if CONFIG.value is None:
        if MODE.value == 'list':
            return None
        raise InputError('--config is missing; for example --config=configs/demo.py')
    experiment = CONFIG.value
    options.split_lists(experiment)
    config.check(experiment)
    unknown = [name for name in ONLY.value if name not in experiment.runs]
    if unknown:
        raise InputError(f'--only: no run {unknown[0]!r}; the config has {", ".join(experiment.runs)}')
    return experiment


def main(argv: list[str]) -> int:
    if any(text in ('--help', '-h', '-help', '--helpfull') for text in argv[1:]):
        path = next((text.partition('=')[2] for text in argv if text.startswith('--config=')), None)
        print(help_text(path))
        return 0
    experiment = parse(argv)
    name = Path(FLAGS['config'].config_filename).stem if experiment else ''
    workdir = WORKDIR.value or (f'workdirs/{name}' if name else None)
    if MODE.value == 'list':
        from jaxshift import listing

        print(listing.text(Path(__file__).parent / 'configs', Path(workdir) if workdir else None))
        return 0
    from jaxshift import start

    start.run(experiment, Path(workdir), MODE.value, tuple(ONLY.value) or tuple(experiment.runs), argv)
    return 0


def guarded(argv: list[str]) -> int:
    """`main`, with every error turned into one line and an exit code."""
    try:
        return main(argv)
    except InputError as error:
        code, line = 2, f'error: {error}'
    except Stopped as error:
        code, line = 75, str(error)
    except KeyboardInterrupt:
        code, line = 1, 'stopped at once; what was not saved is lost'
    except RunFailed as error:
        code, line = 1, f'failed: {error}'
    except Exception as error:  # noqa: BLE001 - the last resort; --debug shows where
        code, line = 1, f'failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""} (--debug)'
    if '--debug' in argv:
        traceback.print_exc()
    print(line, file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(guarded(sys.argv))
