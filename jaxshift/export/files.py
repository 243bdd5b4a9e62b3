"""`--mode=export`: what other tools take of a run, written into its folder.

adapter/   PEFT's files of a LoRA run (its training has left them), the tokenizer, README.md
model/     the Hugging Face model: an adapter folded into its base, or trained weights; tokenizer, README.md
answers/   its responses, as just-eval, AlpacaEval and MT-bench read them, and what judges said of them
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from jaxshift import depends, outward, tuning
from jaxshift.devices import process
from jaxshift.errors import InputError
from jaxshift.export import card
from jaxshift.judge import answered, formats, judgement
from jaxshift.respond import responses
from jaxshift.store import ledger, paths
from jaxshift.study import Study, file_hash
from jaxshift.terminal import Bar
from jaxshift.weights import safetensors
from jaxshift.weights.source import Source


def export_all(study: Study) -> None:
    """Writes the files of every run.

    Raises:
      InputError: a run is not trained; nothing of it can be written over a quantised base; its summary.json is
        of another model than the run.
    """
    for name in study.only:
        if not folders(study, name):
            raise InputError(
                f'run {name} was tuned elsewhere, and config.base.quantize is {study.experiment.base.quantize!r}: a '
                'quantised model is not written; leave config.base.quantize empty to export it'
            )
    for name in study.only:
        settings = outward.of_export(study, name)
        clear = partial(shutil.rmtree, study.workdir.run(name) / 'model', ignore_errors=True)
        study.ledger.do('export', name, settings, partial(_write, study, name), clear, shared=True)
        cards = [folder / card.FILE for folder in folders(study, name)]
        remove = partial(_remove, cards)
        work = partial(_write_cards, study, name, cards)
        study.ledger.do('card', name, outward.of_card(study, name), work, remove)
        if 'model' not in (folder.name for folder in folders(study, name)):
            study.say(f'export {name}: no model, because the base is quantised; the adapter fits the original')
        for folder in folders(study, name):
            study.say(f'export {name}: {folder}')
        _write_answers(study, name)


def folders(study: Study, name: str) -> list[Path]:
    """What is written of a run."""
    kinds = ['adapter'] if study.experiment.runs[name].method == 'lora' else []
    kinds += [] if study.experiment.base.quantize else ['model']
    return [study.workdir.run(name) / kind for kind in kinds]


def _write(study: Study, name: str) -> list[Path]:
    """Weights and tokenizers; returns the files, those that training has left among them."""
    asked, made = study.experiment.export, study.given.get(name)
    model = made if isinstance(made, Source) else study.base
    for folder in folders(study, name):
        if folder.name == 'model':
            stops = () if isinstance(made, Source) else study.template.stop_ids
            params = tuning.tuned(study, name, dtype=asked.dtype)
            with Bar(f'export {name}', brief=True) as bar:
                safetensors.save(
                    folder, params, model.config, model.tokenizer, asked.dtype, asked.shard_size, stops, bar
                )
        elif process.leads():
            study.tokenizer.save_pretrained(folder)
    if not process.leads():  # who has written them, and keeps the list
        return []
    return [
        path
        for folder in folders(study, name)
        for path in folder.iterdir()
        if path.is_file() and path.name != card.FILE
    ]


def _write_cards(study: Study, name: str, cards: list[Path]) -> list[Path]:
    for path in cards:
        paths.write_text(path, card.text(study, name, path.parent.name))
    return cards


def _write_answers(study: Study, name: str) -> None:
    folder, path = study.workdir.run(name) / 'answers', study.workdir.responses(name)
    if not path.is_file():
        study.say(f'export {name}: no answers for evaluations, because it has not answered; --mode=respond answers')
        return

    depends.check_responses(study, name)
    judged = _judged(study, name)

    def work() -> list[Path]:
        records, samples = formats.records_of(study.records[0]), study.experiment.respond.samples
        found = answered.pair(responses.read(path), records, samples)
        files = formats.write_responses(folder, name, found)
        for file in judged:
            files += formats.write_judgements(folder, name, found, file.stem, judgement.read(file))
        return files

    clear = partial(shutil.rmtree, folder, ignore_errors=True)
    study.ledger.do('answers', name, outward.of_answers(study, name, judged), work, clear)
    by = f', judged by {", ".join(file.stem for file in judged)}' if judged else ''
    study.say(f'export {name}: {folder}{by}')


def _judged(study: Study, name: str) -> list[Path]:
    """What judges said of the responses as they are now; what they said of others is left out, and told."""
    asked, found = file_hash(study.workdir.responses(name)), []
    for path in sorted(study.workdir.judged(name, '').parent.glob('*.jsonl')):
        record = ledger.read(study.workdir.done('judge', f'{name}.{path.stem}'))
        if path.stem.endswith('.pairs'):
            continue
        if record and record['files'] is not None and record['settings']['responses'] == asked:
            found.append(path)
        else:
            study.say(f'export {name}: {path.name} left out, it is of other responses; --mode=judge judges these')
    return found


def _remove(cards: list[Path]) -> None:
    for path in cards:
        path.unlink(missing_ok=True)
