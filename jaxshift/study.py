"""What the stages of one experiment share: base, tokenizer, template, mesh and workdir, opened when first needed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from jax.sharding import Mesh

from jaxshift.config import Experiment, World
from jaxshift.data import formats, mixture, sources, template
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process, sharding
from jaxshift.errors import InputError
from jaxshift.llama import model, quantised
from jaxshift.respond import responses
from jaxshift.store.ledger import Ledger
from jaxshift.store.paths import Workdir
from jaxshift.terminal import Bar
from jaxshift.weights import given, peft, source

MADE_HERE = 'world:'


@dataclasses.dataclass(frozen=True)
class Study:
    """One experiment in one workdir.

    Attributes:
      experiment: the checked configuration; nothing changes it.
      workdir: where everything lies.
      only: names of the runs that are worked on; the others are left as they are.
      stop: the request to stop.
      say: takes lines for the user.
      profile: training writes a trace of a few of its steps.
      siblings: workdirs of the other cells of a grid, whose base is taken where it is the same.
      ledger: what is done.
    """

    experiment: Experiment
    workdir: Workdir
    only: tuple[str, ...]
    stop: process.StopSignal
    say: Callable[[str], None]
    profile: bool = False
    siblings: tuple[Path, ...] = ()

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.workdir, self.say)

    @property
    def world(self) -> World:
        """The controlled world's settings."""
        if self.experiment.world is None:
            raise InputError('config.world is not set; start from configs/demo.py')
        return self.experiment.world

    @cached_property
    def mesh(self) -> Mesh:
        return meshes.make(self.experiment.mesh)

    @cached_property
    def base(self) -> source.Source:
        """The base model, with the tokens of the models that were tuned from it elsewhere."""
        base = given.lengthened(self._base, self.given)
        added = base.config.vocab_size - self._base.config.vocab_size
        if added and (trained := [name for name in self.only if name not in self.given]):
            raise InputError(
                f'run {next(iter(self.given))} was tuned with {added} tokens that the base {base.text} lacks, and run '
                f'{trained[0]} is trained on it without them; keep the two apart by --only, in two workdirs'
            )
        return base

    @cached_property
    def _base(self) -> source.Source:
        """The base model as it is; one that is made here must have been made."""
        asked = self.experiment.base
        if asked.source != MADE_HERE:
            return source.open_source(asked.source, asked.tokenizer)
        self._made(self.workdir.base / 'config.json', 'train')
        return source.open_source(f'dir:{self.workdir.base}', asked.tokenizer)

    @property
    def own_rows(self) -> int:
        """Rows that the base itself has in its embedding; `base` may have more."""
        return self._base.config.vocab_size

    @cached_property
    def given(self) -> dict[str, source.Source | peft.Adapter]:
        """What the runs that were tuned elsewhere give, each checked to share the base's architecture."""
        runs, words = self.experiment.runs, self.experiment.base.tokenizer
        return {
            name: given.open_given(runs[name].source, self._base, words, f'runs.{name}.source')
            for name in self.only
            if runs[name].method == 'given'
        }

    @cached_property
    def tokenizer(self):
        """The tokenizer of `base`; a base that is made here, or fetched, has one before its weights."""
        asked = self.experiment.base
        if not any(self.experiment.runs[name].method == 'given' for name in self.only):
            if asked.source == MADE_HERE:
                self._made(self.workdir.base / 'tokenizer.json', 'data')
                return source.open_tokenizer(f'dir:{self.workdir.base}')
            if asked.source.startswith('hf:') and '_base' not in vars(self):
                return source.open_tokenizer(asked.tokenizer or asked.source)
        return self.base.tokenizer

    @cached_property
    def template(self) -> template.Template:
        return template.choose(self.tokenizer, self.experiment.data.template)

    @cached_property
    def tokenizer_hash(self) -> str:
        # The marks of begin and end stand in another of its files than the rest.
        text = json.dumps([self.tokenizer.backend_tokenizer.to_str(), self.tokenizer.special_tokens_map])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def pieces(self) -> list[str]:
        """Token id to decoded text, for every row of the embedding."""
        return self.tokenizer.batch_decode([[index] for index in range(self.base.config.vocab_size)])

    @property
    def reading(self) -> dict:
        """How tokens are read and numbers kept: settings that responses and measures depend on beside the weights."""
        return {'tokenizer': self.tokenizer_hash, 'stop_ids': list(self.template.stop_ids), **self.precision}

    @property
    def precision(self) -> dict:
        """How the numbers of the base are kept."""
        asked, keys = vars(self.experiment.base), ('dtype', 'quantize', 'double_quantization')
        return {key: asked[key] for key in keys if asked[key]}

    @cached_property
    def base_params(self) -> dict:
        """The frozen base on the mesh, in the configured dtype."""
        return self.load(self.base, self.experiment.base.dtype)

    def load(self, model_source: source.Source, dtype: str) -> dict:
        """The parameters of a model on the mesh, quantised as the base is, so that two models are rounded alike."""
        asked = self.experiment.base.quantize, self.experiment.base.double_quantization
        places = sharding.shardings(self.mesh, quantised.shapes(model.shapes(model_source.config), *asked))
        with Bar(f'load {model_source.text}', brief=True) as bar:
            return model_source.load(dtype, places, *asked, bar)

    @cached_property
    def data_sources(self) -> dict[str, float]:
        """Where the instruction data lies, and how many times each source is taken."""
        asked = self.experiment.data
        weighted = [(asked.source, '1')] if asked.source else []
        weighted += [item.rpartition('@')[::2] for item in asked.mixture]
        return {self.located('data', source, 'instructions.json'): float(weight) for source, weight in weighted}

    def instructions(self) -> mixture.Mixture:
        """The instruction data."""
        asked = self.experiment.data
        return mixture.read(
            self.data_sources, asked.format, asked.columns, asked.on_bad_record, asked.limit, asked.subset,
            asked.subset_seed, asked.held_out,
        )  # fmt: skip

    @property
    def prompt_sources(self) -> dict[str, float]:
        """Where the prompts lie: in their own file, or in the instruction data."""
        asked = self.experiment.prompts.source
        return {self.located('prompts', asked, 'prompts.json'): 1} if asked else self.data_sources

    @property
    def prompts(self) -> list[responses.Prompt]:
        """What is answered: each prompt as often as the config asks for samples."""
        return responses.sampled([prompt for _, prompt in self._asked[0]], self.experiment.respond.samples)

    @property
    def examples(self) -> list[formats.Example]:
        """The records behind the prompts, with their answers if they have any."""
        return [example for example, _ in self._asked[0]]

    @property
    def refused_prompts(self) -> int:
        """How many were left out; bad records of the instruction data are counted there."""
        return self._asked[1]

    def check_prompts(self) -> None:
        """Reads the prompts; raises InputError where one is bad (or all are, and on_bad_record is skip)."""
        if not self.prompts:
            raise InputError(f'{", ".join(self.prompt_sources)}: every prompt was left out; correct the records')

    @cached_property
    def records(self) -> tuple[list[formats.Example], list[str]]:
        """The records behind the prompts, those of the instruction data each once, and why others were left out."""
        asked, on_bad = self.experiment.prompts, self.experiment.data.on_bad_record
        if not asked.source:
            return self.instructions().once[: asked.limit or None], []
        found = mixture.read(self.prompt_sources, asked.format, asked.columns, on_bad, asked.limit)
        return found.examples, [f'{each.where}: {each.reason}' for each in found.refused]

    @cached_property
    def _asked(self) -> tuple[list[tuple[formats.Example, responses.Prompt]], int]:
        """Records and their prompts, and how many were left out."""
        (examples, left_out), on_bad = self.records, self.experiment.data.on_bad_record
        kept, refused = [], list(left_out)
        for example in examples:
            try:
                with formats.named(example):
                    kept.append((example, responses.prompt(example, self.template, self.base.config)))
            except InputError as error:
                if on_bad == 'error':
                    raise
                refused.append(str(error))
        for line in refused:
            self.say(f'prompts: left out {line}')
        return kept, len(refused)

    @cached_property
    def data_hash(self) -> str:
        return sources.fingerprints(self.data_sources)

    @cached_property
    def prompts_hash(self) -> str:
        return sources.fingerprints(self.prompt_sources)

    def located(self, key: str, asked: str, made: str) -> str:
        """A source that exists; of `world:` the file `made`."""
        if asked == MADE_HERE:
            path = self.workdir.data / 'world' / made
            self._made(path, 'data')
            return f'file:{path}'
        sources.check(asked, f'config.{key}.source')
        return asked

    @staticmethod
    def _made(path: Path, mode: str) -> None:
        if not path.is_file():
            raise InputError(f'{path}: no such file; it is made here: run --mode={mode} first')


def file_hash(path: Path) -> str:
    """SHA-256 of a file that an earlier stage, or the user, should have left."""
    if not path.is_file():
        raise InputError(f'{path}: no such file; run the stages before this one first, or --mode=run')
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
