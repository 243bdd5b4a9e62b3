"""What the base knew of the study's own prompts, and what tuning did where it knew and where it did not."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jaxshift import depends
from jaxshift.causes import knowledge
from jaxshift.data.formats import Example
from jaxshift.depends import Settings
from jaxshift.devices import process
from jaxshift.explain import imitation, windows
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.explain.truth import facts_path
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.respond.responses import Prompt
from jaxshift.respond.sampling import Sampling
from jaxshift.shift import summary
from jaxshift.study import Study, file_hash
from jaxshift.terminal import Bar

ANSWER = 32  # tokens within which base and run must have answered: in more of them more words come by


def asked_of(study: Study) -> Settings:
    """How the base is asked."""
    asked = study.experiment.causes
    return {
        'draws': asked.knowledge_draws,
        'temperature': asked.knowledge_temperature,
        'seed': study.experiment.seed,
        'reading': study.reading,
        'base': study.base.fingerprint,
    }


def ask(study: Study, prompts: Sequence[Prompt], folder: Path) -> list[Path]:
    """Lets the base answer each prompt greedily and by drawing; returns folder/greedy.jsonl and folder/drawn.jsonl."""
    asked, limits = study.experiment.causes, study.experiment.respond
    plain = Decoder(study.base.config, study.experiment.base.dtype, study.template.stop_ids, ANSWER)
    drawing = Sampling(temperature=asked.knowledge_temperature, seed=study.experiment.seed)
    drawn = dataclasses.replace(plain, sampling=drawing)
    several = responses.sampled(prompts, asked.knowledge_draws)
    paths = [folder / 'greedy.jsonl', folder / 'drawn.jsonl']
    for path, decoder, wanted in zip(paths, (plain, drawn), (prompts, several), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not process.by_leader(path.name, path.is_file):  # else a stopped stage goes on
            with Bar(f'ask the base, {path.stem}') as bar:
                responses.respond(
                    decoder, study.base_params, wanted, study.tokenizer, path, limits.batch_size, study.stop, bar
                )
    return paths


def read(study: Study, answers: dict[str, str], folder: Path) -> list[knowledge.Fact]:
    """The facts, from what `ask` wrote."""
    said = [
        {row['example_id']: row['response'] for row in responses.read(folder / name)}
        for name in ('greedy.jsonl', 'drawn.jsonl')
    ]
    return knowledge.facts(answers, said[0], said[1], study.experiment.causes.knowledge_draws)


def short_answers(examples: Sequence[Example]) -> dict[str, str]:
    """By id the answers that are short, of examples that end with one."""
    answered = [each for each in examples if each.messages and each.messages[-1].role == 'assistant']
    return {
        example.id: answer for example in answered if knowledge.is_short(answer := example.messages[-1].content)
    }  # fmt: skip


def _answers(study: Study) -> dict[str, str]:
    """By prompt the answers of the facts: the short ones of the prompts, and to questions of the world the values."""
    path = _facts(study)
    questions = json.loads(path.read_text(encoding='utf-8'))['questions'] if path else {}
    values = {each.id: questions[each.id]['value'] for each in study.examples if each.id in questions}
    return short_answers(study.examples) | values


def _facts(study: Study) -> Path | None:
    """The world's truth, where there is one."""
    path = facts_path(study)
    return path if study.experiment.world and path.is_file() else None


def _applies(study: Study) -> bool:
    if _answers(study):
        return True
    study.say(
        f'knowledge: passed over; no prompt has an answer of {knowledge.SHORT} words at most; give questions with '
        'short answers by --config.prompts.source'
    )
    return False


def _folder(study: Study) -> Path:
    return study.workdir.base / 'knowledge'


def _prepare(study: Study) -> None:
    answers, folder, facts = _answers(study), _folder(study), _facts(study)

    def work() -> list[Path]:
        prompts = [prompt for prompt in study.prompts if prompt.example_id in answers]
        paths = ask(study, prompts, folder)
        shares = ', '.join(f'{name} {n}' for name, n in knowledge.counts(read(study, answers, folder)).items())
        study.say(f'facts that the base was asked: {len(prompts)}; {shares}')
        return paths

    settings = depends.of_prompts(study) | asked_of(study) | ({'facts': file_hash(facts)} if facts else {})
    clear = partial(shutil.rmtree, folder, ignore_errors=True)
    study.ledger.do('knowledge', depends.BASE, settings, work, clear, shared=True)


def _settings(study: Study, run: str) -> Settings:
    return {
        **depends.of_prompts(study),
        **depends.of_samples(study),
        'answer_tokens': ANSWER,
        'seed': study.experiment.seed,
        'bootstrap': study.experiment.sweep.bootstrap,
        'asked': {path.name: file_hash(path) for path in sorted(_folder(study).glob('*.jsonl'))},
        'responses': file_hash(study.workdir.responses(run)),
        'tokens': study.ledger.result('sweep', run, depends.of_records(study, run)),
    }


def _work(study: Study, run: str) -> list[Path]:
    asked, answers = study.experiment, _answers(study)
    found, tokens = windows.headline(study, run, ('kl_tuned_base', 'shift_class'))
    said = [row | {'response': _begun(study, row)} for row in responses.read(study.workdir.responses(run))]
    rows = knowledge.table(read(study, answers, _folder(study)), said, tokens, asked.respond.samples)
    figures = {
        'draws': asked.causes.knowledge_draws,
        'temperature': asked.causes.knowledge_temperature,
        'answer_tokens': ANSWER,
        'prompts_without_short_answer': len(study.examples) - len(answers),
        'windows': summary.described(found),
        'bins': knowledge.by_bin(rows, asked.seed, asked.sweep.bootstrap),
    }
    return keep(study, run, 'knowledge', figures, {'facts': rows})


def _begun(study: Study, row: dict[str, Any]) -> str:
    """A response as far as the base's goes at most."""
    if len(row['token_ids']) <= ANSWER:
        return imitation.text_of(study, row)
    return str(study.tokenizer.decode(row['token_ids'][:ANSWER], skip_special_tokens=True))


ANALYSIS = Analysis(_applies, _settings, _work, prepare=_prepare, computes=True)
