"""run.py as it stands, leaving a list of the files that it has written; a program of the tests.

python logged_run.py LOG ARGUMENTS OF run.py
"""

import atexit
import os
import runpy
import sys
from pathlib import Path

log, written = Path(sys.argv[1]), set()


def heard(event, arguments):
    if event == 'os.rename':
        written.add(os.fspath(arguments[1]))
    elif event == 'open' and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        written.add(arguments[0])


sys.addaudithook(heard)
atexit.register(lambda: log.write_text('\n'.join(sorted(written))))
sys.argv = ['run.py', *sys.argv[2:]]
runpy.run_path(str(Path(__file__).parents[2] / 'run.py'), run_name='__main__')
