"""Runs tasks of lm-evaluation-harness (Gao et al.), the extra `evaluate`, which is imported only where it is needed."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxshift.config import Evaluate
from jaxshift.errors import InputError, RunFailed
from jaxshift.evaluate.forgetting import Evaluation, Sample
from jaxshift.store import jsonl

if TYPE_CHECKING:
    from jaxshift.evaluate.lm import JaxshiftLM

KEY = 'config.evaluate.tasks'


def check(tasks: Sequence[str]) -> None:
    """Raises InputError where the harness is not installed, or knows no such task."""
    if importlib.util.find_spec('lm_eval') is None:
        raise InputError(f"{KEY} needs lm-evaluation-harness: pip install 'jaxshift[evaluate]'")
    _manager(tuple(tasks))


def version() -> str:
    return metadata.version('lm_eval')


def fingerprints(tasks: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the files that each local task is made of: YAML, what it includes, functions beside it, and data.

    Tasks of the harness itself, and data of the hub, are told by their names and by the version of the harness.
    """
    found = {task: sorted(set(_files(path))) for task in tasks if (path := _path(task))}
    return {task: hashlib.sha256(b''.join(map(_digest, files))).hexdigest() for task, files in found.items()}


def run(lm: JaxshiftLM, asked: Evaluate) -> dict[str, Any]:
    """Results and samples of all tasks, as the harness gives them.

    Raises:
      InputError: a task cannot be loaded, or wants what there is not here.
    """
    manager = _manager(tuple(asked.tasks))
    from lm_eval import evaluator

    # Samples are drawn again in processes of their own, which would be forked from one that holds devices.
    os.environ.setdefault('DISABLE_MULTIPROC', '1')
    tasks = _loaded(manager, asked.tasks)
    return evaluator.simple_evaluate(
        model=lm,
        model_args={'model': lm.served.name},
        tasks=tasks,
        task_manager=manager,
        num_fewshot=None if asked.num_fewshot < 0 else asked.num_fewshot,
        batch_size=asked.batch_size,
        limit=asked.limit or None,
        bootstrap_iters=asked.bootstrap,
        apply_chat_template=asked.apply_chat_template,
        fewshot_as_multiturn=asked.apply_chat_template and asked.fewshot_as_multiturn,
        fewshot_random_seed=asked.seed,
        torch_random_seed=None,
    )


def write(folder: Path, lm: JaxshiftLM, found: dict[str, Any], asked: Evaluate) -> list[Path]:
    """Writes `folder/NAME/results_TIME.json` and `samples_TASK_TIME.jsonl`, by the harness's own hand."""
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.log_experiment_args(
        model_source='jaxshift',
        model_args={'model': lm.served.name},
        system_instruction=None,
        chat_template=lm.chat_template(True) if asked.apply_chat_template else None,
        fewshot_as_multiturn=asked.apply_chat_template and asked.fewshot_as_multiturn,
    )
    samples = found.pop('samples')
    shutil.rmtree(folder, ignore_errors=True)  # what one that was killed while it wrote has left
    tracker.save_results_aggregated(results=found, samples=samples)
    for task in samples if asked.log_samples else ():
        tracker.save_results_samples(task, samples[task])
    written = sorted(folder.glob('*/*.json*'))
    if len(written) != 1 + asked.log_samples * len(samples):  # the harness only warns of what it could not write
        raise RunFailed(f'{folder}: not all results could be written; see that there is room for them')
    return written


def read(folder: Path) -> Evaluation:
    """What `write` wrote; no samples of what was evaluated without keeping them."""
    (path,) = folder.glob('*/results_*.json')
    results, time = json.loads(path.read_text(encoding='utf-8')), path.stem.removeprefix('results_')
    samples: dict[str, list[Sample]] = {
        task: [*jsonl.read(path.with_name(f'samples_{task}_{time}.jsonl'))] for task in results['configs']
    }
    return Evaluation(results, samples)


def lines(results: Mapping[str, Any]) -> Iterator[str]:
    """A line a task or group: its metrics, with their standard errors where there are any."""
    for task, values in results['results'].items():
        shown = []
        for key, value in values.items():
            metric, _, name = key.partition(',')
            if not name or metric.endswith('_stderr') or not isinstance(value, int | float):
                continue
            error = values.get(f'{metric}_stderr,{name}')
            where = '' if name == 'none' else f' ({name})'
            shown.append(f'{metric}{where} {value:.4g}' + (f' ± {error:.2g}' if isinstance(error, float) else ''))
        if shown:
            samples = results['n-samples'].get(task)
            counts = f'; {samples["effective"]} samples, {results["n-shot"][task]}-shot' if samples else ''
            yield f'{task}: {", ".join(shown)}{counts}'


@functools.cache
def _manager(tasks: tuple[str, ...]) -> Any:
    """Knows where tasks lie."""
    from lm_eval.tasks import TaskManager

    logging.getLogger('lm_eval').setLevel(logging.ERROR)
    local = [path for task in tasks if (path := _path(task))]
    if missing := [task for task in tasks if task.endswith(('.yaml', '.yml')) and not _path(task)]:
        raise InputError(f'{KEY} has {missing[0]}: no such file; correct the path')
    # Reading all of its thousands of tasks takes the harness long; groups name others.
    groups = [path for path in local if 'group' in _yaml(path)]
    known = bool(groups) or len(local) < len(tasks)
    manager = TaskManager(include_defaults=known, include_path=[path.parent for path in groups])
    for task in tasks:
        if not _path(task) and task not in manager.task_index:
            raise InputError(
                f'{KEY} has {task!r}, which is neither a file nor a task of lm-evaluation-harness {version()}; '
                '`lm_eval ls tasks` lists those'
            )
    return manager


def _loaded(manager: Any, tasks: Sequence[str]) -> list[Any]:
    """The tasks and groups with their data."""
    found = []
    for task in tasks:
        try:
            loaded = manager.load([str(_path(task) or task)])
        except Exception as error:  # YAML, the user's functions, and whatever `datasets` meets
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            offline = isinstance(error, ConnectionError)
            way = (
                'reach the hub once, or name a YAML with data of your own' if offline else 'correct it, or leave it out'
            )
            raise InputError(f'{KEY}: {task} cannot be loaded ({reason}); {way}') from error
        for name, each in loaded['tasks'].items():
            if getattr(each, 'UNSAFE_CODE', False) or getattr(each, 'MULTIMODAL', False):
                raise InputError(f'{KEY}: {name} runs code that a model writes, or needs images; leave it out')
        within = {inner.task_name for group in loaded['groups'].values() for inner in group.get_all_tasks()}
        below = {inner.name for group in loaded['groups'].values() for inner in group.get_all_groups()}
        found += [group for name, group in sorted(loaded['groups'].items()) if name not in below]
        # Those of a tag come in any order, and all processes must take them in one.
        found += [each for name, each in sorted(loaded['tasks'].items()) if name not in within]
    return found


def _path(task: str) -> Path | None:
    """The file of a local task."""
    path = Path(task).expanduser()
    return path if path.is_file() else None


def _yaml(path: Path, whole: bool = True) -> dict[str, Any]:
    """A task's YAML, with what it includes if it is to be whole; functions as paths."""
    from lm_eval.tasks import _yaml_loader

    try:
        return _yaml_loader.load_yaml(path, resolve_func=False, recursive=whole)
    except Exception as error:  # of the YAML parser, or a file that is not there
        reason = ' '.join(str(error).split())
        raise InputError(f'{path}: not a task of lm-evaluation-harness ({reason}); correct it') from error


def _files(path: Path) -> Iterator[Path]:
    config = _yaml(path, whole=False)
    yield from (path, *path.parent.glob('*.py'))
    for include in _texts(config.get('include')):
        yield from _files(path.parent / include)
    data = config.get('dataset_kwargs') or {}
    for name in _texts([config.get('dataset_path'), data.get('data_files'), data.get('data_dir')]):
        place = Path(name).expanduser()
        for found in place.parent.glob(place.name) if place.name else (place,):  # data_files may be a pattern
            yield from (each for each in (found, *found.rglob('*')) if each.is_file())
    if 'group' in config:  # whose tasks may stand beside it
        others = [each for each in path.parent.rglob('*.yaml') if each != path]
        yield from others
        for each in others:
            yield from () if 'group' in _yaml(each, whole=False) else _files(each)


def _texts(value: Any) -> Iterator[str]:
    """Every text of a text, list or dict of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


def _digest(path: Path) -> bytes:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').digest()
