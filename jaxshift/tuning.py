"""The training stage: makes a base where it is made here, tunes every run, and hands out tuned parameters."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxshift.causes import truth
from jaxshift.config import Run
from jaxshift.data import dataset, formats, world, world_base
from jaxshift.devices import sharding
from jaxshift.errors import InputError, RunFailed
from jaxshift.llama import model
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.store import checkpoint, ledger, manifest
from jaxshift.study import MADE_HERE, Study, file_hash
from jaxshift.terminal import Bar
from jaxshift.tune import lora
from jaxshift.tune.step import assemble, lora_spec, recipe
from jaxshift.tune.train import check, train
from jaxshift.weights import peft, safetensors, source

WATCHED_ONLY = ('log_every', 'checkpoint_every', 'remat', 'micro_batch_size')  # settings of a run that change no result


def train_all(study: Study) -> None:
    """Trains the base if it is made here, then every run that is not given."""
    if study.experiment.base.source == MADE_HERE:
        settings: dict[str, Any] = {'world': dataclasses.asdict(study.world)}
        study.ledger.do('base', '', settings, lambda: _make_base(study), None)
    data = ledger.read(study.workdir.done('data'))
    for name in study.only:
        run = study.experiment.runs[name]
        if run.method == 'given':
            continue
        if not data or data['files'] is None:
            raise InputError(f'{study.workdir.data}: the data is not finished; run --mode=data first')
        settings = {
            'run': {key: value for key, value in dataclasses.asdict(run).items() if key not in WATCHED_ONLY},
            'base': study.base.fingerprint,
            'dtype': study.experiment.base.dtype,
            'data': data['files'],
        }
        study.ledger.do('train', name, settings, partial(_tune, study, name, run), None)


def tuned(study: Study, name: str, paired: bool = False):
    """The tuned parameters of a run, in the dtype of the base.

    Args:
      study: the experiment.
      name: of the run.
      paired: leaves for one forward pass of base and tuned together; for LoRA alone.
    """
    run, dtype = study.experiment.runs[name], jnp.dtype(study.experiment.base.dtype)
    if run.method == 'given':
        return study.load(given(study, name), study.experiment.base.dtype)
    like = sharding.abstract(study.mesh, start_shapes(study, run))
    values = checkpoint.restore(_newest(study, name), 'trainable', like)
    if run.method == 'lora':
        return lora.merge(study.base_params, values, lora_spec(run), paired=paired)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), values)


def given(study: Study, name: str) -> source.Source:
    """A model that was tuned elsewhere, checked to share the base's shape and tokens."""
    key = f'runs.{name}.source'
    found = source.open_source(study.experiment.runs[name].source, study.experiment.base.tokenizer, key)
    if model.shapes(found.config) != model.shapes(study.base.config):
        raise InputError(
            f'config.{key} {found.text}: its parameters have other shapes than those of the base '
            f'{study.base.text}; compare models of one architecture and vocabulary'
        )
    ours = study.base.config
    for field in ('num_attention_heads', 'num_key_value_heads', 'rope_theta', 'rope_scaling', 'rms_norm_eps'):
        theirs = getattr(found.config, field)
        if theirs != getattr(ours, field):  # no shape tells, and both are run by one config
            raise InputError(
                f'config.{key} {found.text}: its config has {field} {theirs}, that of the base {study.base.text} has '
                f'{getattr(ours, field)}; compare models of one architecture'
            )
    if found.tokenizer.get_vocab() != study.base.tokenizer.get_vocab():
        raise InputError(
            f'config.{key} {found.text}: its tokenizer has other tokens than that of the base '
            f'{study.base.text}; distributions can be compared over one vocabulary only'
        )
    return found


def checkpoint_key(study: Study, name: str) -> str:
    """Names the tuned parameters of a run, for the settings of later stages: a hash of the newest manifest."""
    return file_hash(_newest(study, name) / manifest.NAME)


def start_shapes(study: Study, run: Run) -> dict:
    """Shapes of what a run trains: a tree of `jax.ShapeDtypeStruct`."""
    if run.method == 'lora':
        return jax.eval_shape(lambda: _adapter(study, run))
    return model.shapes(study.base.config)


def _adapter(study: Study, run: Run) -> dict:
    return lora.init(jax.random.key(run.seed), model.shapes(study.base.config), lora_spec(run))


def _newest(study: Study, name: str) -> Path:
    """The newest sound checkpoint of a run."""
    checkpoints = study.workdir.run(name) / 'checkpoints'
    step, _ = checkpoint.newest(checkpoints)
    if step is None:
        raise InputError(f'{checkpoints}: no sound checkpoint; run --mode=train first')
    return checkpoints / str(step)


def _tune(study: Study, name: str, run: Run) -> list[Path]:
    check(run, study.mesh, f'runs.{name}')
    folder = study.workdir.run(name)
    shape = recipe(run, study.base.config, study.experiment.base.dtype)

    def trainable():
        if run.method == 'lora':
            adapter = _adapter(study, run)
            return jax.device_put(adapter, sharding.shardings(study.mesh, adapter))
        return study.load(study.base, 'float32')

    frozen = study.base_params if run.method == 'lora' else None
    with Bar(f'train {name}') as bar:
        data = dataset.open_dataset(study.workdir.data)
        longest, context = int(data.lengths.max()), study.base.config.max_position_embeddings
        if longest > context:
            raise InputError(
                f'an example has {longest} tokens, the model a context of {context}; lower data.max_length'
            )
        values = train(
            run, shape, trainable, frozen, data, study.mesh, folder, study.stop, study.say,
            bar.step,
        )  # fmt: skip
    written = [folder / 'metrics.jsonl', *(path for path in _newest(study, name).rglob('*') if path.is_file())]
    if run.method == 'lora':
        peft.save_adapter(folder / 'adapter', values, lora_spec(run), study.base.model_id)
        written += (folder / 'adapter').iterdir()
    return written


def _make_base(study: Study) -> list[Path]:
    """Pre-trains the base of the controlled world, holds it to the gate, and keeps it as a Hugging Face directory."""
    settings = study.world
    config = world_base.llama_config(settings)
    folder, data = study.workdir.base / 'pretraining', study.workdir.data / 'pretraining'
    run = settings.pretraining
    check(run, study.mesh, 'world.pretraining')
    shape = recipe(run, config, study.experiment.base.dtype)

    def trainable():
        values = world_base.initial_params(config, settings.seed)
        return jax.device_put(values, sharding.shardings(study.mesh, values))

    with Bar('pre-train the base') as bar:
        values = train(
            run, shape, trainable, None, dataset.open_dataset(data), study.mesh, folder, study.stop, study.say,
            bar.step,
        )  # fmt: skip
    _gate(study, config, assemble(shape, values, None))
    safetensors.save(study.workdir.base, values, config, study.tokenizer, 'float32')
    # The responses beside it are another stage's.
    return [path for path in study.workdir.base.iterdir() if path.suffix in ('.json', '.jinja', '.safetensors')]


def _gate(study: Study, config, params: dict) -> None:
    """Goes no further with a base that does not know its facts."""
    folder = study.workdir.data / 'world'
    probe = formats.read(folder / 'probe.json').examples
    asked = [
        responses.Prompt(each.id, each.messages[-1].content, study.template.prompt_ids(each.messages)) for each in probe
    ]
    path = study.workdir.base / 'pretraining' / 'probe.jsonl'
    path.unlink(missing_ok=True)
    decoder = Decoder(config, study.experiment.base.dtype, study.template.stop_ids, 16)
    with Bar('ask the base every fact') as bar:
        responses.respond(decoder, params, asked, study.tokenizer, path, 160, study.stop, bar)
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
