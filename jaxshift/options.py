"""The keys of a configuration, the nearest one to a key that does not exist, and config files."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import json
import os
import re
import runpy
import typing
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from jaxshift import checks, config
from jaxshift.errors import InputError, near

# What the flag parser reads a value with, by the type of its key, and what that must be.
PARSERS = {
    kind.__name__: (parser, checks.WORDS[kind])
    for kind, parser in (
        (int, flags.IntegerParser()),
        (float, flags.FloatParser()),
        (bool, flags.BooleanParser()),
    )
}


@dataclasses.dataclass(frozen=True)
class Option:
    """One key that `--config.KEY=value` sets."""

    key: str
    type: str
    value: object
    help: str


class Section(typing.NamedTuple):
    """The keys of one dataclass of the configuration: `prefix` is '' or ends with a dot."""

    prefix: str
    title: str
    options: list[Option]


def sections(part, prefix: str = '', title: str = '') -> Iterator[Section]:
    """A part of the configuration and all parts below it, in the order in which they are defined."""
    if isinstance(part, dict):
        for name, inner in part.items():
            yield from sections(inner, f'{prefix}{name}.')
        return
    section: type = type(part)
    notes, types = _notes(section), typing.get_type_hints(section)
    own, below = [], []
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value) or isinstance(value, dict):
            below.append((value, f'{prefix}{field.name}.', notes.get(field.name, '')))
        elif type(None) not in typing.get_args(types[field.name]):
            kind = types[field.name]
            shown = str(kind) if typing.get_args(kind) else kind.__name__
            own.append(Option(prefix + field.name, shown, value, notes.get(field.name, '')))
    yield Section(prefix, title or (section.__doc__ or '').partition('\n')[0], own)
    for inner, inner_prefix, inner_title in below:
        yield from sections(inner, inner_prefix, inner_title)


@functools.cache  # each override asks for all keys, and Python reads the whole module again to find one class
def _notes(section: type) -> dict[str, str]:
    """The comments at the ends of the lines of a dataclass: they are its help."""
    found = re.findall(r'^    (\w+): .*?  # (.+)$', inspect.getsource(section), re.MULTILINE)
    return dict(found)


def config_path(arguments: list[str]) -> str | None:
    """The file that the last `--config=FILE` or `--config FILE` names."""
    path = None
    for index, argument in enumerate(arguments):
        name, equals, value = argument.lstrip('-').partition('=')
        if argument.startswith('-') and name == 'config':
            path = value if equals else next(iter(arguments[index + 1 :]), None)
    return path


def load(path: str, known_in: Path = Path('configs')) -> config.Experiment:
    """Runs a config file; whatever goes wrong in it is its author's to mend. `known_in` has those that may be meant."""
    if not Path(path).is_file():
        known = {each.stem: os.path.relpath(each) for each in known_in.glob('*.py')}
        name = near(Path(path).stem, known)
        told = f'did you mean {known[name]}? ' if name else ''
        raise InputError(f'--config={path}: no such config file; {told}--mode=list shows those of configs/')
    try:
        experiment = runpy.run_path(path)['get_config']()
    except (Exception, SystemExit) as error:
        raise InputError(
            f'{path}: {type(error).__name__}: {error}; it must have a get_config() that runs, see configs/demo.py'
        ) from error
    if not isinstance(experiment, config.Experiment):
        raise InputError(f'{path}: get_config() gives no jaxshift.config.Experiment; see configs/demo.py')
    try:
        checks.check(experiment)
    except InputError as error:
        raise InputError(f'{path}: {error}') from error
    return experiment


def complete(experiment: config.Experiment, recorded: Path) -> None:
    """Takes data and prompts that a stage run alone does not name from its workdir's experiment.json."""
    try:
        before = json.loads(recorded.read_text(encoding='utf-8'))['config']
        data, prompts = before['data'], before['prompts']['source']
        source, mixture = data['source'], tuple(data['mixture'])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if not experiment.data.source and not experiment.data.mixture:
        experiment.data.source, experiment.data.mixture = source, mixture
    experiment.prompts.source = experiment.prompts.source or prompts


def check_key(key: str, experiment: config.Experiment) -> str:
    """The type of a key as --help writes it, 'runs.lora.rank' for one.

    Raises:
      InputError: there is no such key; names the nearest known one.
    """
    known = {option.key: option.type for section in sections(experiment) for option in section.options}
    if key not in known:
        if below := [f'config.{each}' for each in known if each.startswith(f'{key}.')]:
            more = f' and {len(below) - 3} more; --help lists all' if len(below) > 3 else ''
            raise InputError(f'config.{key} is a section; set one of its keys: {", ".join(below[:3])}{more}')
        name = near(key, known)
        told = f'did you mean config.{name}? ' if name else ''
        raise InputError(f'unknown key config.{key}; {told}--help lists all keys')
    return known[key]


def check_overrides(arguments: list[str], experiment: config.Experiment) -> None:
    """Checks `--config.key` arguments before they are parsed, because a wrong key would be a traceback.

    Raises:
      InputError: names the nearest known key, or what its value must be.
    """
    for argument in arguments:
        flag, equals, value = argument.partition('=')
        if not re.match(r'--?config\.', flag):
            continue
        key = flag.partition('.')[2]
        kind = check_key(key, experiment)
        if not equals:
            raise InputError(f'config.{key} has no value; write --config.{key}=VALUE')
        parser, words = PARSERS.get(kind, (None, ''))
        try:
            _ = parser and parser.parse(value)
        except ValueError:
            raise InputError(f'config.{key} is {value!r}; it must be {words}') from None


def of_files(arguments: list[str]) -> list[str]:
    """The arguments, with the lines of a `--flagfile=FILE` in its place."""
    try:
        return flags.FLAGS.read_flags_from_files(arguments, force_gnu=False)
    except (flags.Error, ValueError) as error:
        raise InputError(f'--flagfile: {str(error).removeprefix("ERROR:: ")}; it names a file of flags') from error


def list_texts(arguments: list[str], experiment: config.Experiment) -> list[str]:
    """Turns the a,b of a list of texts into what the flag parser reads; quoted, it is one text with a comma in it."""
    kinds = {option.key: option.type for section in sections(experiment) for option in section.options}
    listed = []
    for argument in arguments:
        flag, equals, value = argument.partition('=')
        key = flag.lstrip('-').removeprefix('config.')
        if equals and kinds.get(key) == str(tuple[str, ...]) and value[:1] not in ('(', '[', '"', "'"):
            # The texts that end a response may begin and end with blanks and newlines.
            texts = value.split(',') if key == 'respond.stop' else [text.strip() for text in value.split(',')]
            value = repr(tuple(text for text in texts if text))
        listed.append(f'{flag}{equals}{value}')
    return listed


def config_files(folder: Path) -> dict[Path, str]:
    """The config files of a folder with the first lines of their docstrings."""
    found = {}
    for path in sorted(folder.glob('*.py')):
        try:
            doc = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
        except (SyntaxError, ValueError) as error:
            raise InputError(f'{path}: not Python in UTF-8 ({error}); correct it, or move it elsewhere') from error
        found[path] = doc.partition('\n')[0]
    return found
