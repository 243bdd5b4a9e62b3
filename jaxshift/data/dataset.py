"""Tokenised examples on disk: ArrayRecord files of a TFDS builder, written and read without TensorFlow.

folder/token_rows-train.array_record-*   tokens, trained, example_id of each example
folder/dataset_info.json, features.json  TFDS's own; `tfds.builder_from_directory(folder)` reads the folder
folder/lengths.npy                       int32 [examples]: tokens of each, from which batches are planned
folder/refused.jsonl                     each record that was left out: where it stands and why
folder/counts.json                       how many examples were kept, cut and refused; written last
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from transformers import PreTrainedTokenizerBase

from jaxshift.data.formats import Example, Refusal
from jaxshift.data.mixture import Figures
from jaxshift.data.rows import Row, tokenise
from jaxshift.data.sources import tfds_quietly
from jaxshift.data.template import Template, choose
from jaxshift.errors import InputError
from jaxshift.store import jsonl, paths

_AGAIN = 'remove the folder and run the data stage again'


class Dataset:
    """Random access to the rows of a finished folder.

    Attributes:
      lengths: int32 [examples], tokens of each.
      counts: counts.json: examples (rows), held_out (the last of them), tokens, trained_tokens, cut (conversations),
        split (texts), refused (count by reason), sources (see `mixture.Mixture`), max_length, template.
    """

    def __init__(self, folder: Path):
        self.counts: dict[str, Any] = json.loads((folder / 'counts.json').read_text(encoding='utf-8'))
        self.lengths: np.ndarray = np.load(folder / 'lengths.npy', allow_pickle=False)
        with tfds_quietly():
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
    refused: Sequence[Refusal] = (),
    sources: Mapping[str, Figures] | None = None,
    held_out: Iterable[Example] = (),
) -> Dataset:
    """Tokenises instruction data into the folder, in the order given; an older build there is replaced.

    Args:
      folder: of the data set; other files in it are left alone.
      examples: conversations with an answer, token ids, or plain texts: [bos] text eos, every token but the first a
        target of the loss, one row where that is enough and else rows 'ID/1', 'ID/2', ... Each of these begins with
        the last token of the one before, so that none loses its context entirely and each is a target once.
      template: writes them.
      max_length: tokens; a longer conversation is cut and counted, and refused where nothing trained is left of it.
      on_bad: error, or skip: examples that cannot be trained on are counted.
      refused: records refused before; listed and counted with those refused here.
      sources: figures of the sources, for counts.json.
      held_out: examples that are not to be trained on; their rows stand last.

    Raises:
      InputError: names the record that cannot be trained on; or no example is left; or no answer would ever end.
    """
    totals: dict[str, Any] = dict.fromkeys(('examples', 'held_out', 'tokens', 'trained_tokens', 'cut', 'split'), 0)
    about = {'sources': dict(sources or {}), 'max_length': max_length, 'template': template.text_hash}
    counts, left_out = totals | about, list(refused)

    def last() -> Iterator[Row]:
        for row in tokenise(held_out, template, max_length, on_bad, counts, left_out):
            counts['held_out'] += 1
            yield row

    rows = chain(tokenise(examples, template, max_length, on_bad, counts, left_out), last())
    return _write(Path(folder), rows, counts, left_out)


def build_texts(
    folder: str | Path, texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Dataset:
    """`build` of plain texts whose ids are their indices.

    Raises:
      InputError: the tokenizer has no eos_token, or there is no text.
    """
    examples = (Example(str(index), (), f'text {index}', text=text) for index, text in enumerate(texts))
    return build(folder, examples, choose(tokenizer), max_length)


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


def _write(folder: Path, rows: Iterator[Row], counts: dict[str, Any], refused: list[Refusal]) -> Dataset:
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
        if len(lengths) == counts['held_out']:
            raise InputError(f'no example is left to train on; refused: {_by_reason(refused)}; correct the data')

    builder = TokenRows(counted(), half)
    with tfds_quietly():
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    for old in folder.glob('token_rows-train.array_record-*'):
        old.unlink()
    for path in Path(builder.data_dir).iterdir():
        os.replace(path, folder / path.name)
    shutil.rmtree(half)
    np.save(folder / 'lengths.npy', np.asarray(lengths, np.int32))
    jsonl.write(folder / 'refused.jsonl', (refusal._asdict() for refusal in refused))
    counts['examples'], counts['tokens'], counts['refused'] = len(lengths), sum(lengths), _by_reason(refused)
    paths.write_json(folder / 'counts.json', counts)
    return open_dataset(folder)


def _by_reason(refused: Sequence[Refusal]) -> dict[str, int]:
    return dict(Counter(refusal.reason for refusal in refused))
