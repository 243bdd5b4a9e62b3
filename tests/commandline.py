"""run.py as a user starts it, but within this process, so that nothing is imported or compiled twice."""

import contextlib
import importlib.util
import io
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from absl import flags

ROOT = Path(__file__).resolve().parent.parent
DEMO = f'--config={ROOT / "configs/demo.py"}'
COMPARE = f'--config={ROOT / "configs/compare.py"}'
# The demo with a few people and a model of a few thousand parameters: every stage, in seconds.
TINY = (
    DEMO,
    *(
        f'--config.world.{setting}'
        for setting in (
            'known_people=24', 'new_people=4', 'first_names=8', 'last_names=8', 'values=8', 'documents=300',
            'instructions=24', 'test_questions=12', 'hidden_size=16', 'intermediate_size=32', 'layers=2', 'heads=2',
            'kv_heads=1', 'gate=0', 'pretraining.max_steps=20',
        )
    ),
    *(f'--config.runs.{run}.min_steps=0' for run in ('lora', 'full', 'full_best')),
    '--config.runs.lora.max_steps=150',
    '--config.runs.lora.epochs=100',
    '--config.runs.full.max_steps=6',
    '--config.respond.max_new_tokens=8',
    '--config.sweep.bootstrap=50',
    '--only=lora,full',
)  # fmt: skip


class Ended(NamedTuple):
    """How a start ended."""

    code: int
    out: str
    err: str

    def error(self) -> str:
        """The one line that a user sees."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert 'Traceback' not in self.out
        return lines[0]


def start(*arguments: str) -> Ended:
    """`python run.py ARGUMENTS`."""
    module, argv, handlers = (
        _module(),
        sys.argv,
        {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)},
    )
    sys.argv = ['run.py', *arguments]
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = module.guarded(sys.argv)
    finally:
        sys.argv = argv
        _forget_flags()
        for name, handler in handlers.items():
            signal.signal(name, handler)
        if 'jax' in sys.modules:
            sys.modules['jax'].config.update('jax_compilation_cache_dir', None)
            sys.modules['jax'].config.update('jax_enable_compilation_cache', True)
    return Ended(code, out.getvalue(), err.getvalue())


def _module():
    if 'run' not in sys.modules:
        spec = importlib.util.spec_from_file_location('run', ROOT / 'run.py')
        sys.modules['run'] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules['run'])
    return sys.modules['run']


def _forget_flags() -> None:
    """absl keeps flags for a whole process, and the keys of a config become flags when they are set."""
    for name in list(flags.FLAGS):
        if name.startswith('config.'):
            delattr(flags.FLAGS, name)
    for name in ('config', 'workdir', 'mode', 'only', 'topology', 'profile', 'json', 'debug'):
        flags.FLAGS[name].unparse()
    flags.FLAGS.unparse_flags()
