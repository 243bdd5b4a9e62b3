"""run.py as a stranger meets it: help, list, and what it says to a wrong command line."""

import os
import subprocess
import sys

import pytest
from commandline import DEMO, ROOT, start

from jaxshift import helptext, stages


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, text=True, capture_output=True, env={**os.environ, **environment}
    )


@pytest.mark.parametrize('asked', ['--help', '--mode=list'])
def test_help_and_list_are_instant_because_they_import_no_jax(asked):
    ended = python('-X', 'importtime', 'run.py', asked)
    assert ended.returncode == 0
    imported = {line.rpartition('|')[2].strip() for line in ended.stderr.splitlines()}
    assert 'jaxshift.config' in imported
    assert not imported & {'jax', 'flax', 'transformers', 'torch', 'tensorflow'}


def test_every_mode_of_the_help_has_something_that_does_it():
    assert set(helptext.MODES) == {'run', 'plan', 'list', *stages.STAGES, *stages.ON_REQUEST}


def test_help_lists_flags_modes_exit_codes_and_keys():
    ended = start('--help')
    assert (ended.code, ended.err) == (0, '')
    words = ' '.join(ended.out.split())
    for part in (
        '--mode=MODE what to do, see below',
        'train tune every run',
        '75 stopped on a signal with everything saved: the same command goes on from there',
        'sweep.top_k = 10 (int) likeliest tokens of both models kept with each position',
    ):
        assert part in words


def test_help_shows_the_values_of_the_config_that_is_named():
    for arguments in ((DEMO, '--help'), ('--help', *DEMO.split('='))):
        assert 'base.source = world:' in start(*arguments).out


@pytest.mark.parametrize('columns', [40, 80, 100])
def test_no_line_of_the_help_is_longer_than_the_terminal_is_wide(columns, monkeypatch):
    monkeypatch.setenv('COLUMNS', str(columns))
    for arguments in (['--help'], [DEMO, '--help']):
        lines = start(*arguments).out.splitlines()
        assert max(map(len, lines)) <= columns
        assert '      likeliest tokens of both models' in '\n'.join(lines)


def test_help_takes_at_most_two_seconds_of_a_processor():
    before = os.times()
    assert python('run.py', '--help').returncode == 0
    now = os.times()
    assert now.children_user + now.children_system - before.children_user - before.children_system <= 2


def test_help_survives_a_reader_that_goes_away():
    ended = subprocess.run(
        f'"{sys.executable}" run.py --help | head -1', shell=True, cwd=ROOT, text=True, capture_output=True
    )
    assert ended.stderr == ''


def test_a_terminal_that_has_only_ascii_can_show_every_line(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text('from jaxshift.config import *\ndef get_config():\n    return Experiment(name="中文")', 'utf-8')
    ended = python('run.py', f'--config={path}', '--help', LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')
    assert (ended.returncode, ended.stderr) == (0, '')
    assert r'name = \u4e2d\u6587  (str)' in ended.stdout


def test_an_error_that_repeats_what_was_typed_commands_no_terminal():
    said = start('--config=\x1b[31m\x9b.py').error()
    assert said.startswith(r'error: --config=\x1b[31m\x9b.py: no such config file')


def test_list_shows_the_configs():
    ended = start('--mode=list')
    assert ended.code == 0
    for name in ('demo', 'smollm2_135m', 'lora_7b', 'full_7b', 'lora_70b', 'full_70b', 'compare'):
        assert f'{name}.py' in ended.out


def test_list_says_that_nothing_is_done_in_a_new_workdir(tmp_path):
    assert 'nothing is done yet' in start('--mode=list', f'--workdir={tmp_path}').out


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ([], 'error: --config is missing; for example --config=configs/demo.py, or --help'),
        (['--config=configs/dmeo.py'], 'error: --config=configs/dmeo.py: no such config file; did you mean '),
        (['--config=dmo'], 'configs/demo.py? --mode=list shows those of configs/'),
        (['--config=zzzz'], 'error: --config=zzzz: no such config file; --mode=list shows those of configs/'),
        (['--config', 'configs/dmeo.py'], 'error: --config=configs/dmeo.py: no such config file'),
        (['--config='], 'error: --config=: no such config file'),
        (['--flagfile=MISSING'], "No such file or directory: 'MISSING'; it names a file of flags"),
        ([DEMO, '--config.sweep=1'], 'error: config.sweep is a section; set one of its keys: config.sweep.'),
        ([DEMO, '--config.swep.chunk=1'], 'error: unknown key config.swep.chunk; did you mean config.sweep.chunk?'),
        ([DEMO, '-config.swep.chunk=1'], 'error: unknown key config.swep.chunk; did you mean config.sweep.chunk?'),
        ([DEMO, '--config.sweep.chunk'], 'error: config.sweep.chunk has no value; write --config.sweep.chunk=VALUE'),
        ([DEMO, '--config.sweep.chunk=many'], "error: config.sweep.chunk is 'many'; it must be a whole number"),
        ([DEMO, '--config.sweep.chunk=1.5'], "error: config.sweep.chunk is '1.5'; it must be a whole number"),
        ([DEMO, '--config.runs.lora.alpha='], "error: config.runs.lora.alpha is ''; it must be a finite number"),
        ([DEMO, '--config.runs.lora.pack=perhaps'], "config.runs.lora.pack is 'perhaps'; it must be True or False"),
        ([DEMO, '--only='], 'error: --only= names nothing; leave it out to work on all'),
        ([DEMO, '--config.sweep.chunk=0'], 'error: config.sweep.chunk is 0; it must be at least 1'),
        ([DEMO, '--config.base.dtype=float8'], "error: config.base.dtype is 'float8'; it can be bfloat16, float32"),
        ([DEMO, '--mode=trian'], 'error: --mode=trian: no such mode; did you mean train? --help tells what each does'),
        ([DEMO, '--only=lora,lroa'], "error: --only: no run 'lroa'; did you mean lora?"),
        ([DEMO, '--only=none_of_these'], "no run 'none_of_these'; there are lora, "),
        ([DEMO, '--mode=REPORT'], 'error: --mode=REPORT: no such mode; did you mean report?'),
        ([DEMO, '--mode=xyzzy'], 'error: --mode=xyzzy: no such mode; there are run, data, train, '),
        ([DEMO, '--wrokdir=x'], "Unknown command line flag 'wrokdir'"),
        ([DEMO, 'train'], "error: unexpected argument 'train'; flags begin with --"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(arguments, said):
    ended = start(*arguments)
    assert ended.code == 2
    assert said in ended.error()


def test_a_config_that_fails_in_many_lines_is_told_in_one(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text('def get_config():\n    raise ValueError("one\\ntwo")')
    assert 'mine.py: ValueError: one two' in start(f'--config={path}').error()


def test_a_missing_flagfile_is_no_traceback_of_an_import():
    ended = python('run.py', '--flagfile=MISSING')
    assert ended.returncode == 2
    assert ended.stderr.startswith('error: --flagfile: Unable to open flagfile')
    assert len(ended.stderr.splitlines()) == 1


def test_flags_may_stand_in_a_file(tmp_path):
    path = tmp_path / 'flags'
    path.write_text(f'{DEMO}\n# smaller\n--config.sweep.chunk=0\n')
    assert start(f'--flagfile={path}').error().startswith('error: config.sweep.chunk is 0')
    assert 'base.source = world:' in start(f'--flagfile={path}', '--help').out


@pytest.mark.parametrize('debug', ['--debug', '-debug', '--debug=true', '--debug=True', '--debug=1'])
def test_debug_adds_the_traceback(debug):
    ended = start(DEMO, '--config.sweep.chunk=0', debug)
    assert ended.code == 2
    assert 'Traceback' in ended.err
    assert ended.err.splitlines()[-1].startswith('error: config.sweep.chunk is 0')


@pytest.mark.parametrize('debug', ['--nodebug', '--debug=false', '--debug=0'])
def test_without_debug_there_is_no_traceback(debug):
    assert start(DEMO, '--config.sweep.chunk=0', debug).error().startswith('error: config.sweep.chunk is 0')
