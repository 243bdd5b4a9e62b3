"""What `jaxshift.compare` is asked for: models, prompts and keys of Python as an experiment, or an error in a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxshift import config, options, settings
from jaxshift.data import sources
from jaxshift.errors import InputError
from jaxshift.store import paths
from jaxshift.weights import source

RUN = 'tuned'  # what `compare` calls the run, as configs/compare.py does


def experiment(base: Any, tuned: Any, prompts: str | Path, keys: Mapping[str, Any]) -> config.Experiment:
    """What `compare` runs, checked; prompts are a file or a source, see there for the others.

    Raises:
      InputError: names the argument or the key at fault.
    """
    common = config.Experiment(
        name='Base against tuned',
        base=config.Base(source=_model('base', base), dtype='float32'),
        prompts=config.Prompts(source=_source(prompts, sources.KINDS, 'file')),
        runs={RUN: config.Run(method='given', source=_model('tuned', tuned))},
    )
    changed = settings.flat(keys)
    for key in changed:
        options.check_key(key, common)
    found = settings.changed(common, changed)
    config.check(found)
    return found


def records(prompts: Any) -> list[dict[str, Any]]:
    """Texts, and conversations among them, as records of one format.

    Raises:
      InputError: there is none, or one is neither.
    """
    if not isinstance(prompts, Iterable) or isinstance(prompts, Mapping):
        raise InputError(f'prompts is of type {type(prompts).__name__}; give a list of texts, or the path of a file')
    listed = list(prompts)
    if not listed:
        raise InputError('prompts is empty; give at least one text')
    for index, prompt in enumerate(listed):
        if not (isinstance(prompt, str) and prompt.strip()) and not _is_conversation(prompt):
            shown = repr(prompt) if isinstance(prompt, str | int | float | None) else f'of type {type(prompt).__name__}'
            raise InputError(
                f"prompts[{index}] is {shown}; it must be a text that is not empty, or a list of {{'role': ..., "
                "'content': ...} of which the last is not empty"
            )
    if all(isinstance(prompt, str) for prompt in listed):
        return [{'instruction': prompt} for prompt in listed]
    asked = [[{'role': 'user', 'content': each}] if isinstance(each, str) else [*map(dict, each)] for each in listed]
    return [{'messages': messages} for messages in asked]


def place(asked: list[dict[str, Any]], folder: Path) -> Path:
    """The file of these records below a workdir: its name tells its content, so it overwrites no other."""
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    return folder / 'prompts' / f'{digest}.json'


def write(path: Path, asked: list[dict[str, Any]]) -> None:
    """Writes records of prompts; InputError where that cannot be."""
    try:
        paths.write_json(path, asked)
    except OSError as error:
        raise InputError(f'{path}: cannot be written ({error.strerror}); name another workdir') from error


def check(prompts: str | Path) -> None:
    """Raises InputError where the file of prompts is not there, which texts may be taken for."""
    try:
        sources.check(_source(prompts, sources.KINDS, 'file'), 'prompts')
    except (InputError, OSError) as error:  # the latter: too long for a path
        told = error if isinstance(error, InputError) else f'prompts: {error.strerror}; give the path of a file'
        raise InputError(f'{told}; or texts as a list') from None


def _model(argument: str, given: Any) -> str:
    """A model as the config names it."""
    if not isinstance(given, str | Path):
        raise InputError(
            f'{argument} is of type {type(given).__name__}; give the path of a model, or a source such as '
            'hf:OWNER/NAME (save_pretrained writes a model that is in memory, and its tokenizer)'
        )
    found = _source(given, source.KINDS, 'dir')
    kind, _, path = found.partition(':')
    if kind == 'dir' and not Path(path).expanduser().is_dir():
        raise InputError(f'{argument} is {path}: no such folder; give the one that holds config.json, or hf:OWNER/NAME')
    return found


def _source(given: str | Path, kinds: Sequence[str], plain: str) -> str:
    """A source as the config names it; a path without a kind is one of kind `plain`."""
    kind, colon, _ = str(given).partition(':')
    return str(given) if colon and kind in kinds else f'{plain}:{given}'


def _is_conversation(prompt: Any) -> bool:
    """Whether it has the form of messages and the last one asks; what they say is checked where they are read."""
    form = isinstance(prompt, list | tuple) and bool(prompt) and all(_is_message(each) for each in prompt)
    return form and bool(prompt[-1]['content'].strip())


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(key), str) for key in ('role', 'content'))
