"""jaxshift from the command line: `python run.py --config=configs/demo.py`. Flags, help, mode and exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from jaxshift import cells, config, helptext, options
from jaxshift.errors import InputError, meant, outcome
from jaxshift.lines import inert

CONFIGS = Path(__file__).parent / 'configs'  # of the repository; an installed package has none
FLAGS = flags.FLAGS
ARGUMENTS: list[str] = []  # filled by `guarded`; config_flags would read sys.argv when it is imported
CONFIG = config_flags.DEFINE_config_file('config', None, 'the experiment, as configs/demo.py', sys_argv=ARGUMENTS)
WORKDIR = flags.DEFINE_string('workdir', None, 'where everything is written; workdirs/NAME by default')
MODE = flags.DEFINE_string('mode', 'run', 'what to do, see below')
ONLY = flags.DEFINE_list('only', [], 'names of the runs to work on, or of the cells of a grid; all by default')
TOPOLOGY = flags.DEFINE_string('topology', 'devices', 'what to plan for: v5e:4x4, or the devices that are here')
PROFILE = flags.DEFINE_bool('profile', False, 'write a trace of a few training steps to WORKDIR/profile')
JSON = flags.DEFINE_bool('json', False, 'print the plan, or the advice, as one JSON object')
DEBUG = flags.DEFINE_bool('debug', False, 'show the traceback of an error')
OF_MODES = {'topology': ('plan',), 'json': ('plan', 'advise'), 'profile': ('run', 'train')}


def help_text(path: str | None) -> str:
    """What `--help` prints: the flags, and the keys of the config if one is named."""
    without = config.Experiment(runs={'RUN': config.Run()}, world=config.World())
    experiment = options.load(path, CONFIGS) if path else without
    typed = {'config=FILE': CONFIG, 'workdir=DIR': WORKDIR, 'mode=MODE': MODE, 'only=RUN,RUN': ONLY}
    typed |= {'topology=NAME': TOPOLOGY, 'json': JSON, 'profile': PROFILE, 'debug': DEBUG}
    return helptext.text({text: FLAGS[flag.name].help for text, flag in typed.items()}, path, experiment)


def workdir_of(path: str | None) -> str:
    """Where everything is written; empty where neither flag nor config says so."""
    return WORKDIR.value or (f'workdirs/{Path(path).stem}' if path else '')


def parse(argv: list[str]) -> tuple[config.Experiment | None, dict[str, cells.Cell]]:
    """Reads flags and config, and the cells of a grid; no experiment when the mode needs none."""
    path, grid = options.config_path(argv[1:]), {}
    if path is not None:
        asked, grid = options.load(path, CONFIGS), cells.load(path)
        options.check_overrides(argv[1:], asked)
        cells.check_overrides(argv[1:], grid)
        argv = options.list_texts(argv, asked)
    try:
        rest = FLAGS(argv)
    except (flags.Error, TypeError, ValueError) as error:
        raise InputError(f'{str(error).splitlines()[0]}; --help lists flags and keys') from error
    if len(rest) > 1:
        raise InputError(f'unexpected argument {rest[1]!r}; flags begin with --')
    if MODE.value not in helptext.MODES:
        raise InputError(
            f'--mode={MODE.value}: no such mode; {meant(MODE.value, helptext.MODES)} --help tells what each does'
        )
    if FLAGS['only'].present and not ONLY.value:
        raise InputError('--only= names nothing; leave it out to work on all')
    if CONFIG.value is None:
        if MODE.value == 'list':
            return None, {}
        raise InputError('--config is missing; for example --config=configs/demo.py, or --help')
    for flag, modes in OF_MODES.items():
        if FLAGS[flag].value != FLAGS[flag].default and MODE.value not in modes:
            raise InputError(f'--{flag} says nothing to --mode={MODE.value}; it is of --mode={" and ".join(modes)}')
    experiment = CONFIG.value
    if MODE.value != 'run':
        options.complete(experiment, Path(workdir_of(path)) / 'experiment.json')
    if grid:
        if JSON.value and MODE.value == 'advise':
            raise InputError('--json is one object: a grid has an advice a cell; leave it out, they lie in cells/NAME')
        cells.experiments(experiment, {name: grid[name] for name in cells.chosen(ONLY.value, grid) or grid})
        return experiment, grid
    if unknown := [name for name in ONLY.value if name not in experiment.runs]:
        raise InputError(f'--only: no run {unknown[0]!r}; {meant(unknown[0], experiment.runs)}')
    config.check(experiment, tuple(ONLY.value))
    return experiment, {}


def main(argv: list[str]) -> int:
    name = options.config_path(argv[1:])
    if any(text in ('--help', '-h', '-help', '--helpfull', '--helpshort') for text in argv[1:]):
        print(inert(help_text(name)), flush=True)
        return 0
    (experiment, grid), workdir = parse(argv), workdir_of(name)
    if MODE.value == 'list' or experiment is None:
        from jaxshift import listing

        folder = Path(workdir) if workdir else None
        print(inert(listing.text(CONFIGS, folder, tuple(grid), helptext.columns())), flush=True)
        return 0
    from jaxshift.devices import host_memory, topology

    host_memory.keep()  # takes effect only before JAX is imported
    topology.host_alone()  # likewise
    os.environ.setdefault('TRANSFORMERS_VERBOSITY', 'error')  # else it tells that PyTorch was not found
    only = tuple(ONLY.value) or tuple(experiment.runs)
    if MODE.value == 'plan':
        topology.prepare(TOPOLOGY.value)
        from jaxshift.plan import plan

        if grid:
            chosen = {cell: grid[cell] for cell in cells.chosen(ONLY.value, grid) or grid}
            planned = cells.experiments(experiment, chosen)
            return plan.run_grid(chosen, planned, TOPOLOGY.value, Path(workdir), JSON.value)
        return plan.run(experiment, TOPOLOGY.value, only, Path(workdir), JSON.value)
    from jaxshift import start

    if grid:
        start.run_grid(experiment, grid, cells.chosen(ONLY.value, grid), Path(workdir), MODE.value, argv, PROFILE.value)
        return 0
    start.run(experiment, Path(workdir), MODE.value, only, argv, PROFILE.value, JSON.value)
    return 0


def guarded(argv: list[str]) -> int:
    """`main`, with every error turned into one line and an exit code."""
    ARGUMENTS[:] = argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')  # not every terminal has every character
    try:
        ARGUMENTS[1:] = options.of_files(argv[1:])
        return main(ARGUMENTS)
    except BrokenPipeError:  # the reader went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if any(text.lstrip('-').lower() in ('debug', 'debug=true', 'debug=t', 'debug=1') for text in ARGUMENTS):
            traceback.print_exc()
        code, line = outcome(error, options.config_path(ARGUMENTS[1:]))
        print(inert(line), file=sys.stderr)
        return code


if __name__ == '__main__':
    sys.exit(guarded(sys.argv))
