"""A run at its checkpoints: training loss, answers, and the measures that the sweep took there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jaxshift import depends, tuning
from jaxshift.data.held_out import Part
from jaxshift.depends import Settings
from jaxshift.explain import points
from jaxshift.explain.analysis import Analysis, each, keep
from jaxshift.respond.responses import prompt_of
from jaxshift.shift import curves, records, summary
from jaxshift.study import Study
from jaxshift.tune.evaluate import mean_loss
from jaxshift.tune.step import recipe

Row = dict[str, Any]


def _applies(study: Study) -> bool:
    if not study.experiment.sweep.steps:
        study.say('dynamics: passed over; config.sweep.steps names no checkpoints, which runs keep by their keep_steps')
    return bool(study.experiment.sweep.steps)


def _settings(study: Study, run: str) -> Settings:
    asked, steps = study.experiment, [object_['step'] for object_ in _objects(study, run)]
    found: Settings = {
        'base': study.base.fingerprint,
        'checkpoints': {str(step): depends.model_key(study, run, step) for step in steps},
        'examples': asked.causes.dynamics_examples,
        'seed': asked.seed,
        'reading': study.reading,
        **points.of_answers(study),
        'tokens': study.ledger.result('sweep', run, depends.of_records(study, run)),
        'summary': study.ledger.result('summary', run, depends.of_summary(study, run)),
    }
    return found | {'training': depends.of_training(study, asked.runs[run])} if steps else found


def _work(study: Study, run: str) -> list[Path]:
    objects = _objects(study, run)
    if not objects:  # tuned elsewhere
        return keep(study, run, 'dynamics', {'windows': None, 'prompts': [], 'points': []})
    settings, limit = study.experiment.runs[run], study.experiment.causes.dynamics_examples
    # The parameters of any checkpoint, lazy or not, take the place of those that are trained.
    plain = dataclasses.replace(recipe(settings, study.base.config, study.experiment.base.dtype), spec=None)
    trained, apart = tuning.training_data(study, settings.treatment)
    losses = {'loss': Part(trained, range(min(limit or len(trained), len(trained)))), 'held_out_loss': apart}

    def work(point: Row) -> Row:
        params = tuning.tuned(study, run, step=point['step']) if point['step'] else study.base_params
        found: Row = {
            name: mean_loss(settings, plain, params, None, part, study.mesh)
            for name, part in losses.items()
            if len(part)
        }
        return found | points.accuracy(study, params)

    found = each(study, run, 'dynamics', [{'step': 0}, *({'step': object_['step']} for object_ in objects)], work)
    windows, prompts, sums = _by_prompt(study, run)
    for row, object_ in zip(found[1:], objects, strict=True):
        row |= {'all': object_['all'], 'without_end': object_['without_end'], **sums[row['step']]}
    figures = {'windows': windows, 'examples': len(losses['loss']), 'prompts': prompts, 'points': found}
    return keep(study, run, 'dynamics', figures)


def _objects(study: Study, run: str) -> list[Row]:
    """The objects of summary.json of the run's checkpoints, in the order of training, of the windows of the report."""
    objects = summary.read(study.workdir.run(run) / 'summary.json')
    own = summary.of_windows(objects, summary.headline([objects]))
    return sorted((object_ for object_ in own if 'step' in object_), key=lambda object_: object_['step'])


def _by_prompt(study: Study, run: str) -> tuple[Row, list[str], dict[int, Row]]:
    """Windows, their prompts, and for each step the sum of KL(tuned || base) and the positions of each prompt."""
    folder = study.workdir.run(run)
    windows = summary.headline([summary.read(folder / 'summary.json')])
    table = records.read(folder / 'tokens', [*summary.GROUP, 'step', 'example_id', 'position', 'kl_tuned_base'])
    names: list[str] = []
    sums: dict[int, Row] = {}
    for key, rows in summary.groups(table):
        if windows.items() <= key.items():
            _, responses = curves.response_index(rows)
            prompt, count = curves.prompt_index(rows, study.experiment.respond.samples)
            names = list(dict.fromkeys(prompt_of(name, study.experiment.respond.samples) for name in responses))
            kl = rows['kl_tuned_base'].to_numpy().astype(np.float64)
            sums[key['step']] = {
                'kl_sums': np.bincount(prompt, kl, count).tolist(),
                'positions': np.bincount(prompt, minlength=count).tolist(),
            }
    return windows, names, sums


ANALYSIS = Analysis(_applies, _settings, _work, computes=True)
