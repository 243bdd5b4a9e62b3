"""The page's one script: the files of app/, joined, and the hash by which the content security policy lets it run."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

_FOLDER = Path(__file__).with_name('app')


@dataclass(frozen=True)
class Script:
    """What stands between <script> and </script>, '' for none, and a policy's source list for it."""

    text: Markup
    allowed: Markup


def joined(folder: Path = _FOLDER) -> Script:
    """The files NAME.js of a folder in the order of their names, in a scope of their own.

    Raises:
      ValueError: a file holds what HTML would read as the end of the script, or as the begin of a comment.
    """
    files = sorted(folder.glob('*.js'))
    if not files:
        return Script(Markup(), Markup("'none'"))
    # Bytes, not text: line ends as the browser hashes them.
    text = '\n'.join(["(() => {'use strict';", *(path.read_bytes().decode() for path in files), '})();'])
    for mark in ('</script', '<!--', '<script', '\r'):
        if mark in text.lower():
            raise ValueError(f'{folder}: a script must not hold {mark!r}')
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), Markup(f"'sha256-{digest}'"))
