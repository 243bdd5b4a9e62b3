"""The controlled world and its base, where a study makes its own."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxshift.causes import truth
from jaxshift.data import dataset, held_out, mixture, world, world_base
from jaxshift.devices import process, sharding
from jaxshift.errors import RunFailed
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.store import ledger, manifest
from jaxshift.store.paths import Workdir
from jaxshift.store.trackers import Told
from jaxshift.study import Study
from jaxshift.terminal import Bar
from jaxshift.tune.step import assemble, recipe
from jaxshift.tune.train import train
from jaxshift.weights import safetensors


def told(study: Study, name: str, settings: dict[str, Any]) -> Told:
    """What the trackers are told of a run."""
    return Told(study.experiment.trackers, study.experiment.name, name, settings)


def make_base(study: Study, settings: dict[str, Any]) -> list[Path]:
    """Pre-trains the base of the controlled world, holds it to the gate, and keeps it as a Hugging Face directory.

    Where another cell of a grid has made the same base, that is taken.
    """
    if found := process.by_leader('base of another cell', partial(_taken, study, settings)):
        return [study.workdir.root / name for name in found]
    config = world_base.llama_config(study.world)
    folder, data = study.workdir.base / 'pretraining', study.workdir.data / 'pretraining'
    run = study.world.pretraining
    documents, apart = held_out.split(dataset.open_dataset(data))
    shape = recipe(run, config, study.experiment.base.dtype)

    def trainable():
        values = world_base.initial_params(config, study.world.seed)
        return jax.device_put(values, sharding.shardings(study.mesh, values))

    with Bar('pre-train the base') as bar:
        values = train(
            run, shape, settings, trainable, None, documents, apart, study.mesh, folder, study.stop, study.say,
            bar.step, told=told(study, 'base', settings),
        )  # fmt: skip
    _gate(study, config, assemble(shape, values, None))
    safetensors.save(study.workdir.base, values, config, study.tokenizer, 'float32')
    # The responses beside it are another stage's.
    return [path for path in study.workdir.base.iterdir() if path.suffix in ('.json', '.jinja', '.safetensors')]


def _taken(study: Study, settings: dict[str, Any]) -> list[str]:
    """Files of the base, below the workdir, copied from the first sibling that has finished the same; else none."""
    for other in map(Workdir, study.siblings):
        record = ledger.read(other.done('base'))
        if not record or record['files'] is None or manifest.difference(other.root, record['files']):
            continue
        if ledger.difference(_read_by_base(record['settings']), _read_by_base(settings)) is None:
            for name in record['files']:
                (study.workdir.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(other.root / name, study.workdir.root / name)
            study.say(f'the base is that of {other.root}')
            return list(record['files'])
    return []


def _read_by_base(settings: dict[str, Any]) -> dict[str, Any]:
    """Of the settings of a base those that it depends on: the encyclopaedia does not hang on the instructions."""
    return settings | {'world': {key: value for key, value in settings['world'].items() if key != 'instructions'}}


def _gate(study: Study, config, params: dict) -> None:
    """Goes no further with a base that does not know its facts."""
    folder = study.workdir.data / 'world'
    questions = mixture.read({f'file:{folder / "probe.json"}': 1}).examples
    probe = [responses.prompt(question, study.template, config) for question in questions]
    path = study.workdir.base / 'pretraining' / 'probe.jsonl'
    process.by_leader('probe', partial(path.unlink, missing_ok=True))
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
