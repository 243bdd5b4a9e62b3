"""The evaluation stage: tasks of lm-evaluation-harness on the base and on every run, and what the runs forgot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from jaxshift import depends, outward, tuning
from jaxshift.devices import process
from jaxshift.errors import InputError
from jaxshift.evaluate import forgetting, harness
from jaxshift.store import paths
from jaxshift.study import Study
from jaxshift.terminal import Bar


def check(study: Study, mode: str) -> None:
    """Refuses tasks that there are not before any work begins."""
    asked = study.experiment.evaluate
    if mode == 'evaluate' and not asked.tasks:
        raise InputError(
            f'{harness.KEY} is empty; name tasks of lm-evaluation-harness, or paths of task YAMLs, for example '
            f'--{harness.KEY}=TASK.yaml'
        )
    if mode in ('run', 'evaluate') and asked.tasks:
        harness.check(asked.tasks)


def evaluate_all(study: Study) -> None:
    """Evaluates the base and every run, where the config names tasks, and pairs each run with the base."""
    asked = study.experiment.evaluate
    if not asked.tasks:
        return
    if asked.apply_chat_template and not study.tokenizer.chat_template:
        raise InputError(
            'config.evaluate.apply_chat_template is True, but the tokenizer has no chat template; set it to False, or '
            'config.base.tokenizer to a tokenizer that has one'
        )
    _evaluate(study, depends.BASE, lambda: study.base_params)
    for name in study.only:
        _evaluate(study, name, partial(tuning.tuned, study, name))
        if asked.log_samples:
            _forgetting(study, name)


def _evaluate(study: Study, name: str, params: Callable[[], dict]) -> None:
    folder = study.workdir.evaluate(name)
    clear = partial(shutil.rmtree, folder, ignore_errors=True)
    work = partial(_work, study, name, params)
    study.ledger.do('evaluate', name, outward.of_evaluation(study, name), work, clear, shared=True)


def _work(study: Study, name: str, params: Callable[[], dict]) -> list[Path]:
    from jaxshift.evaluate import lm  # which needs the harness
    from jaxshift.evaluate.likelihood import Scorer

    asked, config = study.experiment.evaluate, study.base.config
    chat = study.template.stop_ids if asked.apply_chat_template else ()
    stops = {study.tokenizer.eos_token_id, *config.eos_token_id, *chat}
    with Bar(f'evaluate {name}') as bar:

        def progress(done: int, total: int) -> None:
            bar(done, total)
            study.stop.check()  # a task that is not finished begins anew

        served = lm.Served(
            name, Scorer(config, study.experiment.base.dtype, asked.batch_size), params(), study.tokenizer,
            tuple(sorted(stops)), study.mesh, progress, asked.seed,
        )  # fmt: skip
        model = lm.JaxshiftLM(served)
        found = harness.run(model, asked)
    if model.truncated:
        study.say(f'evaluate {name}: {model.truncated} requests were cut from the left, to {model.max_length} tokens')
    for line in harness.lines(found):
        study.say(f'evaluate {name}: {line}')
    return harness.write(study.workdir.evaluate(name), model, found, asked) if process.leads() else []


def _forgetting(study: Study, name: str) -> None:
    path, settings = study.workdir.forgetting(name), outward.of_forgetting(study, name)

    def work() -> list[Path]:
        base, tuned = (harness.read(study.workdir.evaluate(each)) for each in (depends.BASE, name))
        found = forgetting.forgetting(base, tuned, settings['bootstrap'], settings['seed'])
        paths.write_json(path, found)
        for row in found['rows']:
            study.say(f'{name} against base: {forgetting.sentence(row)}')
        if left_out := found['left_out']:
            study.say(f'{name} against base: not paired, for want of a value for each sample: {", ".join(left_out)}')
        return [path]

    study.ledger.do('forgetting', name, settings, work, partial(path.unlink, missing_ok=True))
