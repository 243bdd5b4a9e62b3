"""General text: what a base is held to beside the data, and what a tuned model may have forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxshift.data
from jaxshift.data import mixture, sources
from jaxshift.depends import Settings
from jaxshift.errors import InputError
from jaxshift.study import Study

LENGTH = 128  # tokens of a passage, at most
_SHORTEST = 4  # tokens: each half of a passage is then more than its first token
_KEY = 'config.causes.general_text'
_OWN = Path(jaxshift.data.__file__).with_name('general.jsonl')


class Passage(NamedTuple):
    """A piece of a text: the id of its record with its number, and its tokens, behind the tokenizer's bos if any."""

    id: str
    ids: list[int]


def source(study: Study) -> str:
    """Where the text lies: as the config says, else the world's encyclopaedia, else passages written for this."""
    asked, documents = study.experiment.causes.general_text, study.workdir.data / 'world' / 'documents.jsonl'
    if asked:
        sources.check(asked, _KEY)
        return asked
    return f'file:{documents if study.experiment.world and documents.is_file() else _OWN}'


def named(study: Study) -> str:
    """The source for readers; no path of this installation."""
    return 'passages that come with jaxshift' if source(study) == f'file:{_OWN}' else source(study)


def settings(study: Study) -> Settings:
    """What the passages depend on."""
    return {
        'general_text': sources.fingerprint(source(study)),
        'general_passages': study.experiment.causes.general_passages,
        'tokenizer': study.tokenizer_hash,
    }


def passages(study: Study) -> list[Passage]:
    """The first passages of the text: records cut into pieces of about equal length.

    Raises:
      InputError: the source cannot be read, holds what is no plain text, or no passage of a few words.
    """
    asked, count = source(study), study.experiment.causes.general_passages
    bos = [] if study.tokenizer.bos_token_id is None else [study.tokenizer.bos_token_id]
    found: list[Passage] = []
    for example in mixture.read({asked: 1}, limit=count).examples:
        if not example.text:
            raise InputError(
                f'{_KEY}: {example.where}: is no plain text; give records with a field text, or .txt files'
            )
        ids = study.template.bare_ids(example.text)
        pieces = np.array_split(ids, -(-len(ids) // (LENGTH - len(bos))) or 1)
        names = [f'{example.id}/{number}' if len(pieces) > 1 else example.id for number in range(1, len(pieces) + 1)]
        found += [
            Passage(name, bos + piece.tolist())
            for name, piece in zip(names, pieces, strict=True)
            if len(piece) >= _SHORTEST
        ]
        if len(found) >= count:
            break
    if not found:
        raise InputError(f'{_KEY}: {asked}: no text has {_SHORTEST} tokens; give longer ones')
    return found[:count]
