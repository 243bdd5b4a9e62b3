"""`--mode=advise`: before tuning, does the base know these data? LoRA, full tuning, or pre-train further first."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxshift.advise import doubles, evidence, lines, verdict, words
from jaxshift.advise.evidence import Reading
from jaxshift.causes import imitation, knowledge
from jaxshift.config import Run
from jaxshift.data import formats
from jaxshift.data.formats import Example
from jaxshift.depends import Settings
from jaxshift.devices import process
from jaxshift.devices.chips import chip
from jaxshift.errors import InputError
from jaxshift.evaluate import likelihood
from jaxshift.explain import general
from jaxshift.explain import knowledge as asking
from jaxshift.plan import capacity
from jaxshift.respond import responses
from jaxshift.respond.responses import Prompt
from jaxshift.shift import contexts
from jaxshift.shift.intervals import wilson
from jaxshift.store import paths
from jaxshift.study import Study
from jaxshift.terminal import Bar

METHODS = ('lora', 'full', 'pretrain')


def advise(study: Study) -> None:
    """Writes advice.json, and says it in ten lines."""
    path, folder = study.workdir.advice, study.workdir.root / 'advice'

    def work() -> list[Path]:
        found = _Data(study).advice(folder)
        process.by_leader('advice', lambda: paths.write_json(path, found))
        return [path, *sorted(folder.glob('*.jsonl'))]

    def clear() -> None:
        path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    study.ledger.do('advise', '', _settings(study), work, clear, shared=True)
    found = process.by_leader('advice', lambda: json.loads(path.read_text(encoding='utf-8')))
    study.say(lines.text(found))
    study.say(f'the numbers behind it: {path}')


def _settings(study: Study) -> Settings:
    asked = study.experiment
    return {
        'data': dataclasses.asdict(asked.data),
        'records': study.data_hash,
        'template': study.template.text_hash,
        **general.settings(study),
        **asking.asked_of(study),
        'examples': asked.causes.advise_examples,
        'questions': asked.causes.advise_questions,
        'bootstrap': asked.sweep.bootstrap,
        'memory': _memory(study),
    }


class _Data:
    """The instruction data of a study, of which the base reads a part."""

    def __init__(self, study: Study):
        if not study.data_sources:
            raise InputError('config.data.source is empty, so there is nothing to advise on; name the data, file:PATH')
        self._study, self._asked = study, study.experiment.causes
        self._found = study.instructions()
        self._examples = self._found.once
        if not any(example.messages for example in self._examples):
            raise InputError(
                f'{", ".join(study.data_sources)}: plain text or tokens, which ask nothing; plain text is for a run of '
                'method pretrain, and advise for questions with answers'
            )

    @cached_property
    def _drawn(self) -> list[Example]:
        """The examples that the base reads, in the order of the data."""
        order = np.random.default_rng(self._study.experiment.seed).permutation(len(self._examples))
        return [self._examples[index] for index in sorted(order[: self._asked.advise_examples])]

    def advice(self, folder: Path) -> dict[str, Any]:
        """The content of advice.json; what the base is asked lies in the folder."""
        study, sweep = self._study, self._study.experiment.sweep
        pairs = [pair for example in self._examples if (pair := _pair(example))]
        answers, left_out = self._answers([answer for _, answer in pairs])
        passages = self._passages()
        seed, bootstrap = study.experiment.seed, sweep.bootstrap
        sides = {'data': answers, 'general': passages}
        foreseen = {name: evidence.figures(side, seed, bootstrap) for name, side in sides.items()}
        foreseen |= {'relative': evidence.relative(answers, passages, seed, bootstrap)}
        short = self._short(folder, pairs)
        return {
            'base': {'source': study.base.text, 'parameters': study.base.config.parameters},
            'data': {
                'sources': self._found.sources,
                'examples': len(self._examples),
                'read': len(answers),
                'left_out': left_out,
            },
            'general_text': {'source': general.named(study), 'passages': len(passages)},
            'verdict': verdict.decide(foreseen['relative'], foreseen['data']['specific']['words'], short),
            'foreseen': foreseen,
            'short_answers': short,
            'questions': self._profile([question for question, _ in pairs]),
            'answers': self._profile([answer for _, answer in pairs]),
            'doubles': doubles.doubles(pairs),
            'memory': _memory(study),
        }

    def _answers(self, texts: list[str]) -> tuple[list[Reading], dict[str, int]]:
        """The drawn examples' answers as the base reads them, cut where training would cut them."""
        study = self._study
        limit = min(study.experiment.data.max_length, study.base.config.context)
        rows, left_out = contexts.references(self._drawn, study.template, limit)
        if not rows:
            raise InputError(f'{", ".join(study.data_sources)}: no example that was drawn has an answer to read')
        pairs = [(row['prompt_token_ids'], row['token_ids']) for row in rows]
        return self._read('read the answers', pairs, texts), dict(left_out)

    def _passages(self) -> list[Reading]:
        """The second half of each passage of general text, behind the first."""
        passages = [each.ids for each in general.passages(self._study)]
        halves = [(ids[: len(ids) // 2], ids[len(ids) // 2 :]) for ids in passages]
        texts = [str(self._study.tokenizer.decode(ids)) for ids in passages]
        return self._read('read general text', halves, texts)

    def _read(self, title: str, pairs: list[tuple[list[int], list[int]]], texts: list[str]) -> list[Reading]:
        study = self._study
        shared, read = words.common(texts), words.reader(study.tokenizer)
        scorer = likelihood.Scorer(study.base.config, study.experiment.base.dtype, study.experiment.sweep.batch_size)
        with Bar(title) as bar:

            def progress(done: int) -> None:
                bar(done, len(pairs))
                study.stop.check()

            found = likelihood.scores(scorer, study.base_params, pairs, study.mesh, progress)
        readings = []
        for (prompt, answer), scores in zip(pairs, found, strict=True):
            asked, said = words.spoken(study.tokenizer.decode(prompt, skip_special_tokens=True)), read(answer)
            readings.append(Reading(said, words.kinds(said, asked, shared), *scores))
        return readings

    def _profile(self, texts: list[str]) -> dict[str, Any] | None:
        """Length and form."""
        study, names = self._study, [str(number) for number in range(len(texts))]
        tokens = [len(study.template.bare_ids(text)) for text in texts]
        return imitation.profile(texts, tokens, names, study.experiment.sweep.bootstrap, study.experiment.seed)

    def _short(self, folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
        """How many answers are short, and what the base says where it is asked for them."""
        study = self._study
        found: dict[str, Any] = {
            'share': float(np.mean([knowledge.is_short(answer) for _, answer in pairs])),
            'draws': self._asked.knowledge_draws,
            'asked': 0,
            'right': None,
            'interval': None,
            'bins': None,
            'too_long': 0,
        }
        answers = asking.short_answers(self._drawn)
        prompts: list[Prompt] = []
        for example in self._drawn:
            if example.id in answers and len(prompts) < self._asked.advise_questions:
                try:
                    prompts.append(responses.prompt(example, study.template, study.base.config))
                except InputError:  # `_answers` has left it out too
                    found['too_long'] += 1
        if not prompts:
            return found
        asking.ask(study, prompts, folder)
        facts = asking.read(study, {prompt.example_id: answers[prompt.example_id] for prompt in prompts}, folder)
        right = float(np.mean([fact.greedy for fact in facts]))
        return found | {
            'asked': len(facts),
            'right': right,
            'interval': list(wilson(right, len(facts))),
            'bins': knowledge.counts(facts),
        }


def _pair(example: Example) -> tuple[str, str] | None:
    """The last question and its answer."""
    if not example.messages or example.messages[-1].role != 'assistant':
        return None
    return formats.prompts(example)[-1].content, example.messages[-1].content


def _memory(study: Study) -> dict[str, Any]:
    """What each method holds on a device before it takes a step, by the config's own run of it where it has one."""
    here, sizes = chip(list(study.mesh.devices.flat)), {}
    for method in METHODS:
        own = (run for run in study.experiment.runs.values() if run.method == method)
        alone = copy.copy(study.experiment)
        alone.runs = {method: next(own, Run(method=method))}
        sizes[method] = capacity.needed_bytes(alone, method, 'train', study.base.config, study.mesh)
    return {
        'before_a_step': sizes,
        'device_bytes': here.memory,
        'source': here.source,
        'devices': study.mesh.size,
        'kind': jax.devices()[0].device_kind,
    }
