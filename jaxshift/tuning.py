"""The training stage: tunes every run, and hands out tuned parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxshift import depends, making
from jaxshift.config import Run
from jaxshift.data import dataset, held_out, world_base
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process, sharding
from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.store import checkpoint
from jaxshift.store.trackers import TENSORBOARD, Told
from jaxshift.study import MADE_HERE, Study
from jaxshift.terminal import Bar
from jaxshift.tune import lora
from jaxshift.tune.step import Recipe, lora_spec, recipe
from jaxshift.tune.train import check, parameters, schedule, shapes, train
from jaxshift.weights import peft


def check_mesh(study: Study, mode: str) -> None:
    """Refuses what does not fit the devices before any work begins."""
    base, here = base_config(study), study.experiment.base.source == MADE_HERE
    meshes.check_heads(study.mesh, base.num_attention_heads, base.num_key_value_heads)
    if mode in ('run', 'train'):
        for name, run in _trained(study).items():
            check(run, study.mesh, f'runs.{name}', study.experiment.data.max_length)
        if here:
            check(study.world.pretraining, study.mesh, 'world.pretraining', study.world.row_length)


def base_config(study: Study) -> LlamaConfig:
    """The architecture of the base, also of one that is yet to be made here."""
    here = study.experiment.base.source == MADE_HERE
    return world_base.llama_config(study.world) if here else study.base.config


def _trained(study: Study) -> dict[str, Run]:
    runs = {name: study.experiment.runs[name] for name in study.only}
    return {name: run for name, run in runs.items() if run.method != 'given'}


def train_all(study: Study) -> None:
    """Trains the base if it is made here, then every run that is not given."""
    runs = _trained(study)
    if study.experiment.base.source == MADE_HERE:
        settings = depends.of_base(study)
        study.ledger.do('base', '', settings, partial(making.make_base, study, settings), None, shared=True)
    for name, found in study.given.items():
        study.say(f'train {name}: tuned elsewhere, {found.text}')
        if added := study.base.config.vocab_size - study.own_rows:
            study.say(
                f'train {name}: its vocabulary has {added} rows more than the base, which is padded with the mean of '
                'its own: it gives a token that it lacks less than the average probability, never the greatest'
            )
    for name, run in runs.items():
        if run.method == 'lora':
            lora.check(lora_spec(run), study.base.config.num_hidden_layers, f'runs.{name}')
    if runs:
        for treatment in dict.fromkeys(run.treatment for run in runs.values()):
            study.ledger.result('data', treatment, depends.asked_of_data(study, treatment))
            data, apart = training_data(study, treatment)
            if len(apart):
                of = f'data {treatment}'.rstrip()
                study.say(f'{of}: {len(data)} examples to train on, {len(apart)} held out')
        for name, run in runs.items():
            _check_data(study, name, run, *training_data(study, run.treatment))
    for name, run in runs.items():
        settings = depends.of_training(study, run)
        study.ledger.do('train', name, settings, partial(_tune, study, name, run, settings), None, shared=True)
        if study.profile:
            traced = _trace(study, name).is_dir()
            lack = 'no trace: it was trained before, or in one step; with another --workdir it trains anew'
            study.say(f'train {name}: {f"trace in {_trace(study, name)}" if traced else lack}')


def tuned(study: Study, name: str, paired: bool = False, step: int | None = None, dtype: str = '') -> dict:
    """The tuned parameters of a run.

    Args:
      study: the experiment.
      name: of the run.
      paired: leaves for one forward pass of base and tuned together; only where `is_paired`.
      step: of a checkpoint that the run keeps; None: the last.
      dtype: of parameters that are not the base's own; '': that of the base.

    Raises:
      InputError: the run keeps no checkpoint of that step.
    """
    run, kind = study.experiment.runs[name], dtype or study.experiment.base.dtype
    if run.method == 'given':
        if step is not None:
            raise InputError(f'run {name} was tuned elsewhere, so there is no step {step}; leave the step out')
        given = study.given[name]
        if not isinstance(given, peft.Adapter):
            return study.load(given, kind)
        terms, whole = given.terms(), given.whole(kind)
        terms, whole = jax.device_put((terms, whole), sharding.shardings(study.mesh, (terms, whole)))
        return lora.replace(lora.merge(study.base_params, terms, given.spec, paired=paired), whole)
    like = sharding.abstract(study.mesh, shapes(_recipe(study, run)))
    values = checkpoint.restore(depends.kept_checkpoint(study, name, step)[0], 'trainable', like)
    return _assembled(study, run, values, kind, paired)


def tuned_without(study: Study, name: str, left_out: Sequence[int], folder: Path) -> dict:
    """The parameters of a run that is trained again without some examples; for as many epochs, so in fewer steps.

    Args:
      study: the experiment.
      name: of the run.
      left_out: their numbers among the examples to train on.
      folder: takes checkpoints and metrics, as that of a run; those of other settings are refused.
    """
    run = study.experiment.runs[name]
    data, apart = training_data(study, run.treatment)
    kept = held_out.Part(data, sorted(set(range(len(data))) - set(left_out)))
    settings = depends.of_training(study, run) | {'left_out': sorted(left_out)}
    with Bar(f'train {name} again') as bar:
        values = _train(study, run, settings, kept, apart, folder, bar.step)
    return _assembled(study, run, values, study.experiment.base.dtype)


def _assembled(study: Study, run: Run, values: dict, kind: str, paired: bool = False) -> dict:
    """What a run trained, as the model takes it."""
    if run.method == 'lora':
        return lora.merge(study.base_params, values, lora_spec(run), paired=paired)
    return jax.tree.map(lambda leaf: leaf.astype(kind), values)


def both(study: Study, name: str) -> tuple[dict, dict]:
    """Base and tuned parameters, whose difference is what tuning did.

    Those of a lazy run are the base beside low-rank terms, and where nothing was tuned the base's own leaves. Else both
    are float32, as they were trained: the comparison sees them rounded.
    """
    if is_lazy(study, name):
        return study.base_params, tuned(study, name)
    exact = study.experiment.base.dtype == 'float32'
    return study.base_params if exact else study.load(study.base, 'float32'), tuned(study, name, dtype='float32')


def is_paired(study: Study, name: str) -> bool:
    """Whether tuned and base parameters differ by low-rank terms alone, so that one forward pass serves both."""
    return is_lazy(study, name) and not getattr(study.given.get(name), 'replaced', ())


def is_lazy(study: Study, name: str) -> bool:
    """Whether the tuned parameters are those of the base beside low-rank terms, trained here or given."""
    return study.experiment.runs[name].method == 'lora' or isinstance(study.given.get(name), peft.Adapter)


def figures(study: Study, run: Run) -> dict[str, Any]:
    """What a run trained, how long and on what was left of the data, for its summary."""
    data, apart = training_data(study, run.treatment)
    return {
        'learning_rate': run.learning_rate,
        'steps': schedule(run, data).steps,
        'sources': data.counts['sources'],
        'trainable_parameters': parameters(_recipe(study, run)),
        'counts': {
            'refused_records': sum(data.counts['refused'].values()),
            'cut_records': data.counts['cut'],
            'held_out_examples': len(apart),
        },
    }


def _recipe(study: Study, run: Run) -> Recipe:
    return recipe(run, study.base.config, study.experiment.base.dtype)


def training_data(study: Study, treatment: str) -> tuple[dataset.Dataset, dataset.Dataset]:
    """The examples that runs of a treatment train on, and those held out."""
    return held_out.split(dataset.open_dataset(study.workdir.treated(treatment)))


def _check_data(study: Study, name: str, run: Run, data: dataset.Dataset, apart: dataset.Dataset) -> None:
    """Refuses a run that the data does not fit."""
    longest = max(int(part.lengths.max()) for part in (data, apart) if len(part))
    context = study.base.config.context
    if longest > context:
        raise InputError(f'an example has {longest} tokens, the model a context of {context}; lower data.max_length')
    counts = data.counts
    targets = counts['tokens'] - counts['examples']  # what stands first has nothing to be predicted from
    if run.method == 'pretrain' and counts['trained_tokens'] < targets:
        raise InputError(
            f'config.runs.{name}.method pretrain needs plain text, but {targets - counts["trained_tokens"]} of the '
            f'{counts["tokens"]} tokens of the data are not trained; give plain text, or take method full'
        )
    steps = schedule(run, data).steps
    if late := [step for step in run.keep_steps if step > steps]:
        raise InputError(f'config.runs.{name}.keep_steps has {late[0]}, but the run ends with step {steps}')
    # A step that is not kept is lost, however long the training was.
    if lost := [step for step in study.experiment.sweep.steps if step not in (*run.keep_steps, steps)]:
        raise InputError(
            f'config.sweep.steps has {lost[0]}, which run {name} does not keep; name it in '
            f'config.runs.{name}.keep_steps before it is trained'
        )


def _tune(study: Study, name: str, run: Run, settings: dict[str, Any]) -> list[Path]:
    folder, (data, apart) = study.workdir.run(name), training_data(study, run.treatment)
    with Bar(f'train {name}') as bar:
        values = _train(
            study, run, settings, data, apart, folder, bar.step, _trace(study, name) if study.profile else None,
            making.told(study, name, settings),
        )  # fmt: skip
    kept = {*run.keep_steps, schedule(run, data).steps}
    written = [path for step in kept for path in (folder / 'checkpoints' / str(step)).rglob('*') if path.is_file()]
    written.append(folder / 'metrics.jsonl')
    if run.method == 'lora':
        peft.save_adapter(folder / 'adapter', meshes.host(values), lora_spec(run), study.base.model_id)
        process.together('adapter')  # which the leader has written
        written += [folder / 'adapter' / file for file in peft.FILES]  # an export adds others
    return written


def _train(
    study: Study, run: Run, settings: dict[str, Any], data: dataset.Dataset, apart: dataset.Dataset, folder: Path,
    progress: Callable[[int, int, dict], None], trace: Path | None = None, told: Told = TENSORBOARD,
) -> dict:  # fmt: skip
    """What a run trains on some examples."""

    def trainable():
        if run.method == 'lora':
            whole = model.shapes(study.base.config)
            adapter = lora.init(jax.random.key(run.seed), whole, lora_spec(run))
            return jax.device_put(adapter, sharding.shardings(study.mesh, adapter))
        return study.load(study.base, 'float32')

    frozen = study.base_params if run.method == 'lora' else None
    return train(
        run, _recipe(study, run), settings, trainable, frozen, data, apart, study.mesh, folder, study.stop, study.say,
        progress, trace, told,
    )  # fmt: skip


def _trace(study: Study, name: str) -> Path:
    return study.workdir.root / 'profile' / name
