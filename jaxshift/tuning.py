"""The training stage: makes a base where it is made here, tunes every run, and hands out tuned parameters."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxshift import depends
from jaxshift.causes import truth
from jaxshift.config import Run
from jaxshift.data import dataset, formats, world, world_base
from jaxshift.devices import sharding
from jaxshift.errors import InputError, RunFailed
from jaxshift.llama import model
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.store import checkpoint, manifest
from jaxshift.study import MADE_HERE, Study
from jaxshift.terminal import Bar
from jaxshift.tune import lora
from jaxshift.tune.step import Recipe, assemble, lora_spec, recipe
from jaxshift.tune.train import check, schedule, shapes, train
from jaxshift.weights import peft, safetensors


def train_all(study: Study) -> None:
    """Trains the base if it is made here, then every run that is not given."""
    runs = {name: study.experiment.runs[name] for name in study.only}
    runs = {name: run for name, run in runs.items() if run.method != 'given'}
    # Before hours go into the first: any of them may be refused.
    for name, run in runs.items():
        check(run, study.mesh, f'runs.{name}')
    if study.experiment.base.source == MADE_HERE:
        check(study.world.pretraining, study.mesh, 'world.pretraining')
        settings = depends.of_base(study)
        study.ledger.do('base', '', settings, partial(_make_base, study, settings), None)
    for name, found in study.given.items():
        study.say(f'train {name}: tuned elsewhere, {found.text}')
    if runs:
        study.ledger.result('data', '', depends.asked_of_data(study))
    for name, run in runs.items():
        settings = depends.of_training(study, run)
        study.ledger.do('train', name, settings, partial(_tune, study, name, run, settings), None)


def tuned(study: Study, name: str, paired: bool = False, step: int | None = None):
    """The tuned parameters of a run, in the dtype of the base.

    Args:
      study: the experiment.
      name: of the run.
      paired: leaves for one forward pass of base and tuned together; for LoRA alone.
      step: of the checkpoint; None: the last.

    Raises:
      InputError: no sound checkpoint of that step is there.
    """
    run, dtype = study.experiment.runs[name], jnp.dtype(study.experiment.base.dtype)
    if run.method == 'given':
        return study.load(study.given[name], study.experiment.base.dtype)
    like = sharding.abstract(study.mesh, shapes(_recipe(study, run)))
    folder = study.workdir.root / depends.last_manifest(study, name)[0].parent
    if step is not None and step != int(folder.name):
        folder = folder.with_name(str(step))
        if wrong := manifest.fault(folder):
            there = ', '.join(map(str, checkpoint.steps(folder.parent)))
            raise InputError(f'{folder}: {wrong}; config.sweep.steps can name the checkpoints of {name}: {there}')
    values = checkpoint.restore(folder, 'trainable', like)
    if run.method == 'lora':
        return lora.merge(study.base_params, values, lora_spec(run), paired=paired)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), values)


def figures(study: Study, run: Run) -> dict[str, Any]:
    """What a run trained, how long and on what was left of the data, for its summary."""
    data = dataset.open_dataset(study.workdir.data)
    return {
        'learning_rate': run.learning_rate,
        'steps': schedule(run, data).steps,
        'trainable_parameters': sum(leaf.size for leaf in jax.tree.leaves(shapes(_recipe(study, run)))),
        'counts': {'refused_records': sum(data.counts['refused'].values()), 'cut_records': data.counts['cut']},
    }


def _recipe(study: Study, run: Run) -> Recipe:
    return recipe(run, study.base.config, study.experiment.base.dtype)


def _tune(study: Study, name: str, run: Run, settings: dict[str, Any]) -> list[Path]:
    folder, data = study.workdir.run(name), dataset.open_dataset(study.workdir.data)
    longest, context = int(data.lengths.max()), study.base.config.max_position_embeddings
    if longest > context:
        raise InputError(f'an example has {longest} tokens, the model a context of {context}; lower data.max_length')

    def trainable():
        if run.method == 'lora':
            whole = model.shapes(study.base.config)
            adapter = lora.init(jax.random.key(run.seed), whole, lora_spec(run))
            return jax.device_put(adapter, sharding.shardings(study.mesh, adapter))
        return study.load(study.base, 'float32')

    frozen = study.base_params if run.method == 'lora' else None
    with Bar(f'train {name}') as bar:
        values = train(
            run, _recipe(study, run), settings, trainable, frozen, data, study.mesh, folder, study.stop, study.say,
            bar.step,
        )  # fmt: skip
    last = folder / 'checkpoints' / str(schedule(run, data).steps)
    written = [folder / 'metrics.jsonl', *(path for path in last.rglob('*') if path.is_file())]
    if run.method == 'lora':
        peft.save_adapter(folder / 'adapter', values, lora_spec(run), study.base.model_id)
        written += (folder / 'adapter').iterdir()
    return written


def _make_base(study: Study, settings: dict[str, Any]) -> list[Path]:
    """Pre-trains the base of the controlled world, holds it to the gate, and keeps it as a Hugging Face directory."""
    config = world_base.llama_config(study.world)
    folder, data = study.workdir.base / 'pretraining', study.workdir.data / 'pretraining'
    run = study.world.pretraining
    shape = recipe(run, config, study.experiment.base.dtype)

    def trainable():
        values = world_base.initial_params(config, study.world.seed)
        return jax.device_put(values, sharding.shardings(study.mesh, values))

    with Bar('pre-train the base') as bar:
        values = train(
            run, shape, settings, trainable, None, dataset.open_dataset(data), study.mesh, folder, study.stop,
            study.say, bar.step,
        )  # fmt: skip
    _gate(study, config, assemble(shape, values, None))
    safetensors.save(study.workdir.base, values, config, study.tokenizer, 'float32')
    # The responses beside it are another stage's.
    return [path for path in study.workdir.base.iterdir() if path.suffix in ('.json', '.jinja', '.safetensors')]


def _gate(study: Study, config, params: dict) -> None:
    """Goes no further with a base that does not know its facts."""
    folder = study.workdir.data / 'world'
    probe = responses.prompts(formats.read(folder / 'probe.json').examples, study.template)
    path = study.workdir.base / 'pretraining' / 'probe.jsonl'
    path.unlink(missing_ok=True)
    decoder = Decoder(config, study.experiment.base.dtype, study.template.stop_ids, 16)
    with Bar('ask the base every fact') as bar:
        responses.respond(decoder, params, probe, study.tokenizer, path, 160, study.stop, bar)
    facts = json.loads((folder / 'facts.json').read_text())
    known = truth.probe_accuracy(facts, responses.read(path))
    gate = study.world.gate
    study.say(f'the base answers {known:.3f} of its facts (gate {gate})')
    if known < gate:
        raise RunFailed(
            f'the base answers {known:.3f} of its facts, below the gate {gate}; nothing is tuned. '
            'Raise config.world.pretraining.max_steps or take another config.world.seed, in another --workdir'
        )


def write_world(study: Study) -> list[Path]:
    """The encyclopaedia, its questions and truth, the tokenizer of the base, and its pre-training data."""
    made = world.generate(study.world)
    folder = study.workdir.data / 'world'
    world.write(made, folder)
    vocabulary = world_base.tokenizer(made.vocabulary)
    vocabulary.save_pretrained(study.workdir.base)
    rows = study.world.row_length
    dataset.build_texts(study.workdir.data / 'pretraining', made.documents, vocabulary, rows)
    return [*folder.iterdir(), study.workdir.base / 'tokenizer.json', study.workdir.data / 'pretraining/counts.json']
