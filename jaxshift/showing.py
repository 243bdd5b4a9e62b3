"""`--mode=show_data`: the first examples as the model will see them: every token, trained or masked."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from jaxshift import lines
from jaxshift.data import dataset
from jaxshift.errors import InputError
from jaxshift.explain import pieces
from jaxshift.report import rendering
from jaxshift.store import jsonl, paths
from jaxshift.study import Study
from jaxshift.terminal import screen

FIRST = 5  # examples, and refused records
STYLES = {'masked': 'dim', 'trained': 'green'}
_LABEL = 9  # columns


class Token(NamedTuple):
    """One token; `text` is '' where it only goes on with the character that the one before begins."""

    text: str
    id: int
    kind: str  # masked or trained


class Example(NamedTuple):
    """An example as it stands in the data; `limit` is the greatest number of tokens that it may have."""

    id: str
    tokens: list[Token]
    limit: int

    @property
    def told(self) -> str:
        trained = sum(token.kind == 'trained' for token in self.tokens)
        most = ', as many as data.max_length allows' if len(self.tokens) == self.limit else ''
        return f'{len(self.tokens)} tokens{most}, {trained} trained'


class Shown(NamedTuple):
    """The data in one form: as they are, or by a treatment.

    Attributes:
      title: what it is called, and which runs are trained on it.
      counts: those of `dataset.Dataset`.
      examples: the first ones.
      refused: the first records that were left out: where they stand, and why.
      packed: runs that put several examples into a row.
    """

    title: str
    counts: dict[str, Any]
    examples: list[Example]
    refused: list[dict[str, str]]
    packed: list[str]

    @property
    def told(self) -> str:
        """The counts in words."""
        counts, refused = self.counts, sum(self.counts['refused'].values())
        held_out = f', the last {counts["held_out"]:,} of them held out' if counts['held_out'] else ''
        split = f', {counts["split"]:,} texts in several rows' if counts['split'] else ''
        return (
            f'{counts["examples"]:,} rows{held_out}, {counts["tokens"]:,} tokens, {counts["trained_tokens"]:,} trained'
            f'; {counts["cut"]:,} cut at {counts["max_length"]:,} tokens{split}, {refused:,} refused'
        )

    @property
    def remarks(self) -> list[str]:
        """What a reader must know beside the counts."""
        packed = [f'{", ".join(self.packed)}: several examples in a row, without attention between them']
        return (packed if self.packed else []) + [f'{count:,} refused: {why}' for why, count in self.reasons]

    @property
    def reasons(self) -> list[tuple[str, int]]:
        return sorted(self.counts['refused'].items(), key=lambda item: -item[1])


def show(study: Study) -> None:
    """Prints the first examples of data that are tokenised, and writes report/show_data.html.

    Raises:
      InputError: the experiment names no instruction data.
    """
    if not study.data_sources:
        raise InputError('no instruction data to show: set config.data.source, for example file:DATA.json')
    forms = [_shown(study, treatment) for treatment in dict.fromkeys(_treatments(study).values())]
    paths.write_text(study.workdir.shown_data, html(study.experiment.name, study.template.name, forms))
    bar, blanks = _marks(sys.stdout.encoding or 'utf-8')
    study.say(f'\nEach token ends with {bar}; one without text goes on with a character. Masked tokens')
    study.say('are read, and the loss is taken on trained ones.')
    for form in forms:
        study.say(f'\n{form.title}: {form.told}')
        for remark in form.remarks:
            study.say(f'  {remark}')
        for record in form.refused:
            study.say(f'  refused {record["where"]}: {record["reason"]}')
        for example in form.examples:
            study.say(f'\nexample {example.id}: {example.told}')
            _print(example.tokens, bar, blanks, study.say)
    study.say(f'\nthe same as a page: {study.workdir.shown_data}')


def _treatments(study: Study) -> dict[str, str]:
    """The form of the data that each run is trained on; as they are, where none is trained here."""
    runs = {name: study.experiment.runs[name] for name in study.only}
    return {name: run.treatment for name, run in runs.items() if run.method != 'given'} or {'': ''}


def _shown(study: Study, treatment: str) -> Shown:
    folder, runs = study.workdir.treated(treatment), study.experiment.runs
    data, read = dataset.open_dataset(folder), pieces.reader(study.tokenizer)
    users = [name for name, form in _treatments(study).items() if form == treatment and name]
    examples = []
    for index in range(min(FIRST, len(data) - data.counts['held_out'])):
        row = data[index]
        kinds = ['trained' if trained else 'masked' for trained in row.trained]
        ids = row.tokens.tolist()
        examples.append(Example(row.example_id, list(map(Token, read(ids), ids, kinds)), data.counts['max_length']))
    title = f'data {treatment}'.rstrip() + (f', for {", ".join(users)}' if users else '')
    refused = jsonl.read(folder / 'refused.jsonl')[:FIRST]
    return Shown(title, data.counts, examples, refused, [name for name in users if runs[name].pack])


def html(name: str, template: str, forms: Sequence[Shown]) -> str:
    """The page: no script, nothing from elsewhere, and every text escaped."""
    source = Path(rendering.__file__).with_name('show_data.html')
    return rendering.render(source, f'{name}: the data', name=name, template=template, forms=forms, inert=visible)


def visible(text: str, blanks: dict[str, str] | None = None) -> str:
    """A token's text with blanks and line ends marked, and what would command a terminal written out."""
    for char, mark in (blanks or _marks('utf-8')[1]).items():
        text = text.replace(char, mark)
    return lines.inert(text, '\n')


def _marks(encoding: str) -> tuple[str, dict[str, str]]:
    """What ends a token, and marks of blanks, as the terminal can show them."""
    try:
        '│⏎→↵'.encode(encoding)
    except UnicodeEncodeError:
        return '|', {'\n': '\\n\n', '\t': '\\t', '\r': '\\r'}
    return '│', {'\n': '⏎\n', '\t': '→', '\r': '↵'}


def _print(tokens: Sequence[Token], bar: str, blanks: dict[str, str], say) -> None:
    """Runs of masked and of trained tokens, each under its name; coloured on a terminal."""
    colours = screen()
    for kind, line in marked(tokens, bar, blanks, shutil.get_terminal_size().columns):
        if colours:
            colours.print(Text(line, STYLES[kind]), soft_wrap=True)
        else:
            say(line)


def marked(tokens: Sequence[Token], bar: str, blanks: dict[str, str], width: int) -> Iterator[tuple[str, str]]:
    """The lines of an example and their kind: runs of masked and of trained tokens, each behind its name."""
    for kind, run in groupby(tokens, key=lambda token: token.kind):
        ended = []
        for token in run:
            text = visible(token.text, blanks)
            ended.append(text[:-1] + bar + '\n' if text.endswith('\n') else text + bar)
        for number, line in enumerate(lines.filled(ended, max(20, width - _LABEL - 1))):
            yield kind, f'{"" if number else kind:{_LABEL}}{line}'
