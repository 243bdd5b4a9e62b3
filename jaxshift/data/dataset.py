"""Tokenised examples on disk: ArrayRecord files of a TFDS builder, written and read without TensorFlow.

folder/token_rows-train.array_record-*   tokens, trained, example_id of each example
folder/dataset_info.json, features.json  TFDS's own; `tfds.builder_from_directory(folder)` reads the folder
folder/lengths.npy                       int32 [examples]: tokens of each, from which batches are planned
folder/counts.json                       how many examples were kept, cut and refused; written last
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from transformers import PreTrainedTokenizerBase

from jaxshift.data.formats import Example
from jaxshift.data.template import Template
from jaxshift.errors import InputError
from jaxshift.store import paths

_AGAIN = 'remove the folder and run the data stage again'
FIRST_EXAMPLES = 32  # among so many, one must train a token that ends a response


class Row(NamedTuple):
    """One example: `tokens` int32 [T], `trained` bool [T] (the token is a target of the loss), `example_id`."""

    tokens: np.ndarray
    trained: np.ndarray
    example_id: str


class Dataset:
    """Random access to the rows of a finished folder.

    Attributes:
      lengths: int32 [examples], tokens of each.
      counts: counts.json: examples, tokens, trained_tokens, cut, refused (count by reason), max_length, template.
    """

    def __init__(self, folder: Path):
        self.counts: dict[str, Any] = json.loads((folder / 'counts.json').read_text(encoding='utf-8'))
        self.lengths: np.ndarray = np.load(folder / 'lengths.npy', allow_pickle=False)
        with _quiet():
            self._source = tfds.builder_from_directory(folder).as_data_source('train')
        self._folder = folder

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Row:
        record = self._source[index]
        # A file that lost a part reads without complaint as records without fields.
        if record['tokens'] is None or len(record['tokens']) != self.lengths[index]:
            raise InputError(f'{self._folder}: row {index} is damaged; {_AGAIN}')
        return Row(record['tokens'], record['trained'], record['example_id'].decode())


def open_dataset(folder: str | Path) -> Dataset:
    """Opens what `build` or `build_texts` finished.

    Raises:
      InputError: the folder is not finished, or its files do not belong together.
    """
    folder = Path(folder)
    if not (folder / 'counts.json').is_file():
        raise InputError(f'{folder}: no finished data here; run the data stage again')
    try:
        dataset = Dataset(folder)
        if not len(dataset) == len(dataset._source) == dataset.counts['examples'] > 0:
            raise ValueError('counts differ')
        _ = dataset[len(dataset) - 1]  # a file that lost its end opens, but its last row cannot be read
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, AssertionError) as error:
        raise InputError(f'{folder}: the data is damaged ({error}); {_AGAIN}') from None
    return dataset


def build(
    folder: str | Path,
    examples: Iterable[Example],
    template: Template,
    max_length: int,
    on_bad: str = 'error',
    refused: Mapping[str, int] | None = None,
) -> Dataset:
    """Tokenises instruction data into the folder, in the order given; an older build there is replaced.

    Args:
      folder: of the data set; other files in it are left alone.
      examples: conversations with an answer.
      template: writes them.
      max_length: tokens; a longer example is cut and counted, and refused where nothing trained is left of it.
      on_bad: error, or skip: examples that cannot be trained on are counted.
      refused: records refused before, by reason; counted with those refused here.

    Raises:
      InputError: names the record that cannot be trained on; or no example is left; or no answer would ever end.
    """
    counts = _new_counts(max_length, template.text_hash, refused)
    return _write(Path(folder), _tokenise(examples, template, max_length, on_bad, counts), counts)


def build_texts(
    folder: str | Path, texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Dataset:
    """Tokenises plain texts for pre-training: [bos] text eos, every token trained but the first; ids are indices.

    Raises:
      InputError: the tokenizer has no eos_token, or there is no text.
    """
    if tokenizer.eos_token_id is None:
        raise InputError('the tokenizer has no eos_token, so texts could not be told apart; set it')
    counts = _new_counts(max_length, 'texts', None)

    def rows() -> Iterator[Row]:
        bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        for index, text in enumerate(texts):
            ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)['input_ids']
            tokens = np.asarray([*bos, *ids, tokenizer.eos_token_id], np.int32)
            counts['cut'] += len(tokens) > max_length
            yield Row(tokens[:max_length], np.arange(min(len(tokens), max_length)) > 0, str(index))

    return _write(Path(folder), rows(), counts)


def _new_counts(max_length: int, template: str, refused: Mapping[str, int] | None) -> dict[str, Any]:
    totals = dict.fromkeys(('examples', 'tokens', 'trained_tokens', 'cut'), 0)
    return {**totals, 'refused': Counter(refused or {}), 'max_length': max_length, 'template': template}


def _tokenise(
    examples: Iterable[Example], template: Template, max_length: int, on_bad: str, counts: dict[str, Any]
) -> Iterator[Row]:
    stops, seen = False, 0
    for example in examples:
        try:
            ids, trained = template.example(example.messages)
        except InputError as error:
            if on_bad == 'error':
                raise InputError(f'{example.where}: {error}') from None
            counts['refused'][str(error).split(';')[0]] += 1
            continue
        stops = stops or any(mark and token in template.stop_ids for token, mark in zip(ids, trained, strict=True))
        seen += 1
        if seen == FIRST_EXAMPLES:
            _check_stops(stops, seen, template)
        if len(ids) > max_length:
            if not any(trained[:max_length]):
                counts['refused'][f'no token of the answer within max_length {max_length}'] += 1
                continue
            counts['cut'] += 1
        yield Row(np.asarray(ids[:max_length], np.int32), np.asarray(trained[:max_length], bool), example.id)
    _check_stops(stops or not seen, seen, template)


def _check_stops(stops: bool, seen: int, template: Template) -> None:
    if not stops:
        names = ', '.join(template.tokenizer.convert_ids_to_tokens(list(template.stop_ids))) or 'no eos_token'
        raise InputError(
            f'none of the first {seen} examples trains a token that ends an answer ({names}), so the tuned model would '
            'never stop; put the end-of-turn token inside the generation tags of the chat template, or set '
            'data.template=paper'
        )


class TokenRows(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """TFDS builder of tokenised rows."""

    VERSION = tfds.core.Version('1.0.0')
    # Nothing is downloaded; TFDS 4.9.10 would look for URLs by importlib_resources, which it does not always install.
    url_infos = None

    def __init__(self, rows: Iterator[Row], data_dir: Path):
        self._rows = rows
        super().__init__(data_dir=data_dir, file_format='array_record')

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            'tokens': tfds.features.Tensor(shape=(None,), dtype=np.int32),
            'trained': tfds.features.Tensor(shape=(None,), dtype=np.bool_),
            'example_id': tfds.features.Text(),
        }
        # TFDS would shuffle by the hash of the key; the order of the file is what rows and subsets are named by.
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples()}

    def _generate_examples(self):
        yield from ((index, row._asdict()) for index, row in enumerate(self._rows))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS's bars, prints and absl lines from the user."""
    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _write(folder: Path, rows: Iterator[Row], counts: dict[str, Any]) -> Dataset:
    """Builds beside the finished files, then moves; counts.json is the last file to appear and the first to go."""
    half = folder / 'incomplete'
    (folder / 'counts.json').unlink(missing_ok=True)
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    lengths: list[int] = []

    def counted() -> Iterator[Row]:
        for row in rows:
            lengths.append(len(row.tokens))
            counts['trained_tokens'] += int(row.trained.sum())
            yield row
        if not lengths:
            raise InputError(f'no example is left to train on; refused: {dict(counts["refused"])}; correct the data')

    builder = TokenRows(counted(), half)
    with _quiet():
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    for old in folder.glob('token_rows-train.array_record-*'):
        old.unlink()
    for path in Path(builder.data_dir).iterdir():
        os.replace(path, folder / path.name)
    shutil.rmtree(half)
    np.save(folder / 'lengths.npy', np.asarray(lengths, np.int32))
    counts['examples'], counts['tokens'] = len(lengths), sum(lengths)
    paths.write_json(folder / 'counts.json', counts)
    return open_dataset(folder)
