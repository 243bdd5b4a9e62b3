"""Who judges: each kind of judge that a config can name, opened for a study."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxshift.data import template
from jaxshift.depends import Settings
from jaxshift.devices import mesh as meshes
from jaxshift.errors import InputError
from jaxshift.judge import asking, file, local, oracle, rubric, summary
from jaxshift.judge.asking import Row
from jaxshift.judge.cache import Cache
from jaxshift.judge.endpoint import Endpoint
from jaxshift.judge.judgement import ASPECTS, SAFETY, Judgement
from jaxshift.judge.local import LocalJudge
from jaxshift.judge.pairs import Pair
from jaxshift.respond.responses import prompt_of
from jaxshift.study import Study, file_hash
from jaxshift.terminal import Bar
from jaxshift.weights.source import open_source


@dataclasses.dataclass(frozen=True)
class Judge:
    """A judge, as the stage needs it.

    Attributes:
      settings: of a run: all that its judgements depend on beside the responses.
      score: the judgements of a run's responses; None where it was asked to stop.
      compare: the same for responses and their counterparts, of judges who can.
      shared: every process must do the work; else the leader does it alone.
      again: what failed may succeed at the next start.
    """

    settings: Callable[[str], Settings]
    score: Callable[[str, list[Row]], list[Judgement] | None]
    compare: Callable[[str, list[Row], list[Row]], list[Pair] | None] | None = None
    shared: bool = False
    again: bool = False


def open_judge(study: Study) -> Judge:
    """The judge that the config names."""
    kinds = {'endpoint': _endpoint, 'local': _local, 'oracle': _oracle, 'file': _file}
    return kinds[study.experiment.judge.kind](study)


def path(study: Study, name: str, what: str = '') -> Path:
    """The file of the config's judge on a run: its judgements, or `what` = '.pairs'."""
    asked = study.experiment.judge
    return study.workdir.judged(name, (asked.name or asked.kind) + what)


def begun(path: Path) -> Path:
    """What a local judge has found so far of what `path` will hold."""
    return path.with_suffix('.begun')


def groups(study: Study) -> summary.Tags:
    """What makes groups of the prompts."""
    if study.experiment.world:
        return oracle.tags(json.loads(_facts(study).read_text(encoding='utf-8')))
    return summary.tags_of(study.records[0])


@contextlib.contextmanager
def endpoint(study: Study, title: str) -> Iterator[Callable[..., Any]]:
    """The endpoint of config.judge: a function of some work and its items, the arguments behind `Ask` of each.

    It gives what the work gives for each item, or None where it was asked to stop; then it says what was spent.
    """
    asked = study.experiment.judge
    with Cache(study.workdir.replies) as replies, Endpoint(asked, replies, study.stop) as asks, Bar(title) as bar:
        try:
            yield lambda work, items: asking.every(
                lambda item: work(asks, *item), items, asked.concurrency, study.stop, bar
            )
        finally:
            study.say(f'{title}: {_spent(asks, replies.unanswered)}')


def _endpoint(study: Study) -> Judge:
    asked = study.experiment.judge

    def score(name: str, rows: list[Row]) -> list[Judgement] | None:
        with endpoint(study, f'judge {name}') as every:
            return every(asking.score, [(row, _aspects(study, row)) for row in rows])

    def compare(name: str, rows: list[Row], others: list[Row]) -> list[Pair] | None:
        with endpoint(study, f'pairs {name}') as every:
            return every(functools.partial(asking.compare, name=asked.pairwise), list(zip(rows, others, strict=True)))

    made_by = {key: getattr(asked, key) for key in ('kind', 'model', 'temperature', 'max_tokens', 'limit_name')}
    return Judge(lambda name: made_by | {'rubric': _rubric_hash()}, score, compare, again=True)


def _spent(endpoint: Endpoint, unanswered: int) -> str:
    """What was asked in this start, what all starts have cost, and why questions are left."""
    events, budget = endpoint.events.copy(), endpoint.budget
    line = f'{events.pop("asked", 0)} requests, {events.pop("cached", 0)} replies from the cache; '
    line += f'{budget.calls} calls in this workdir, cost {budget.cost:.4f}'
    if unanswered:
        line += f' ({unanswered} calls sent without a reply, before a kill or time-out, at the most they can cost)'
    if budget.unmetered:
        line += f' ({budget.unmetered} replies without a count of tokens taken at the most they can cost)'
    reasons = ', '.join(f'{count} {reason}' for reason, count in events.most_common())
    return f'{line}; questions without a reply: {reasons}' if reasons else line


def _local(study: Study) -> Judge:
    asked, dtype = study.experiment.judge, study.experiment.base.dtype
    source = open_source(asked.source, key='judge.source')
    shown = template.choose(source.tokenizer)
    meshes.check_heads(study.mesh, source.config.num_attention_heads, source.config.num_key_value_heads)

    @functools.cache
    def loaded() -> LocalJudge:
        return LocalJudge(source.config, study.load(source, dtype), dtype, shown, study.mesh)

    def ask(title: str, file: Path, questions: list[local.Question]) -> local.Found:
        with Bar(title) as bar:
            found = local.ask(loaded(), questions, begun(file), asked.batch_size, study.stop, bar)
        study.say(f'{title}: {local.mass(found):.3f} of the probability lies on the tokens that the judge may say')
        if left := len(questions) - len(found):
            study.say(f'{title}: {left} questions do not fit the context of the judge, {source.config.context} tokens')
        return found

    def score(name: str, rows: list[Row]) -> list[Judgement]:
        wanted = [(row, _aspects(study, row)) for row in rows]
        found = ask(f'judge {name}', path(study, name), local.scoring(shown, wanted))
        return [local.judgement(row, aspects, found) for row, aspects in wanted]

    def compare(name: str, rows: list[Row], others: list[Row]) -> list[Pair]:
        questions = local.comparing(shown, list(zip(rows, others, strict=True)))
        found = ask(f'pairs {name}', path(study, name, '.pairs'), questions)
        return [local.pair(row, asked.pairwise, found) for row in rows]

    made_by = {'kind': 'local', 'model': source.fingerprint, 'template': shown.text_hash, 'rubric': _rubric_hash()}
    return Judge(lambda name: made_by | study.precision, score, compare, shared=True)


def _oracle(study: Study) -> Judge:
    facts = _facts(study)

    def score(name: str, rows: list[Row]) -> list[Judgement]:
        samples = study.experiment.respond.samples
        return oracle.judgements(json.loads(facts.read_text(encoding='utf-8')), rows, samples)

    return Judge(lambda name: {'kind': 'oracle', 'facts': file_hash(facts)}, score)


def _facts(study: Study) -> Path:
    return study.workdir.data / 'world' / 'facts.json'


def _file(study: Study) -> Judge:
    def given(name: str) -> Path:
        path = Path(study.experiment.judge.source.replace('RUN', name)).expanduser()
        if not path.is_file():
            raise InputError(f'config.judge.source: {path}: no such file of judgements of {name}; correct the path')
        return path

    def score(name: str, rows: list[Row]) -> list[Judgement]:
        found, left = file.judgements(given(name), name, [row['example_id'] for row in rows])
        if left:
            reasons = ', '.join(f'{count} {reason}' for reason, count in left.items())
            study.say(f'judge {name}: {left.total()} judgements of {given(name)} are left out: {reasons}')
        return found

    return Judge(lambda name: {'kind': 'file', 'file': file_hash(given(name))}, score)


def _aspects(study: Study, row: Row) -> tuple[str, ...]:
    """What a response is judged on: safety alone where its prompt is marked so."""
    asked = study.experiment
    prompt = prompt_of(row['example_id'], asked.respond.samples)
    return (SAFETY,) if asked.judge.safety and re.fullmatch(asked.judge.safety, prompt) else ASPECTS


def _rubric_hash() -> str:
    """Names the words of the questions: other words would be other judgements."""
    asked = [rubric.scoring('', '', (*ASPECTS, SAFETY)), rubric.comparing('', '', ''), rubric.repair([], '')]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
