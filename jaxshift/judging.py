"""The judge stage: responses of every run scored, and compared with those of another, by the judge of the config."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jaxshift import depends, judges
from jaxshift.depends import Settings
from jaxshift.devices import process
from jaxshift.errors import InputError
from jaxshift.judge import answered, judgement, pairs, preferences, summary
from jaxshift.judge.asking import Row
from jaxshift.judge.judgement import OUTCOMES, Judgement
from jaxshift.judge.pairs import Pair
from jaxshift.judges import Judge
from jaxshift.store import paths
from jaxshift.study import Study


def judge_all(study: Study) -> None:
    """Judges the responses of every run, where the config names a judge."""
    asked = study.experiment.judge
    if not asked.kind:
        return
    judge = judges.open_judge(study)
    for source in (*study.only, *([asked.pairwise] if asked.pairwise else [])):
        depends.check_responses(study, source)
    for name in study.only:
        _score(study, judge, name)
        files = [judges.path(study, name)]
        if judge.compare and asked.pairwise not in ('', name):
            _compare(study, judge, judge.compare, name)
            files.append(judges.path(study, name, '.pairs'))
        _sum_up(study, name, files)


def _score(study: Study, judge: Judge, name: str) -> None:
    path = judges.path(study, name)

    def write(found: list[Judgement]) -> None:
        judgement.write(path, found)
        study.say(f'judge {name}: {len(found)} responses: {_counted(each.outcome for each in found)}')

    def failed() -> int:
        return sum(each.outcome == 'failed' for each in judgement.read(path))

    settings = depends.of_judgements(study, name, judge.settings(name))
    _do(study, judge, 'judge', name, path, settings, lambda: judge.score(name, _rows(study, name)), write, failed)


def _compare(
    study: Study, judge: Judge, compare: Callable[[str, list[Row], list[Row]], list[Pair] | None], name: str
) -> None:
    path, other = judges.path(study, name, '.pairs'), study.experiment.judge.pairwise

    def work() -> list[Pair] | None:
        ours, theirs = ({row['example_id']: row for row in _rows(study, each)} for each in (name, other))
        both = [each for each in ours if each in theirs]
        for each in both:
            if ours[each]['prompt'] != theirs[each]['prompt']:
                raise InputError(f'{path}: example {each} asks something else in {name} than in {other}; answer anew')
        if left := len(ours) + len(theirs) - 2 * len(both):
            study.say(f'pairs {name}: {left} responses of {name} or {other} have no counterpart')
        return compare(name, [ours[each] for each in both], [theirs[each] for each in both])

    def write(found: list[Pair]) -> None:
        pairs.write(path, found)
        counts = ', '.join(f'{count} {result}' for result, count in pairs.counts(found).items())
        study.say(f'pairs {name}: {len(found)} against {other}, by what both orders say: {counts}')

    def failed() -> int:
        return sum('failed' in each.outcomes for each in pairs.read(path))

    _do(study, judge, 'pairs', name, path, depends.of_pairs(study, name, judge.settings(name)), work, write, failed)


def _do(
    study: Study, judge: Judge, stage: str, name: str, path: Path, settings: Settings,
    work: Callable[[], list[Any] | None], write: Callable[[list[Any]], None], failed: Callable[[], int],
) -> None:  # fmt: skip
    """One file of a judge through the ledger; `work` gives None where it was asked to stop."""
    began = judges.begun(path)

    def keep(found: list[Any] | None) -> None:
        if found is not None and not study.stop.requested:
            write(found)

    def do() -> list[Path]:
        if judge.shared:
            found = work()
            process.by_leader(stage, lambda: keep(found))
        else:
            process.by_leader(stage, lambda: keep(work()))
        study.stop.check()
        process.by_leader('begun', lambda: began.unlink(missing_ok=True))
        return [path]

    def clear() -> None:
        for left in (path, began):
            left.unlink(missing_ok=True)

    def again() -> None:
        if judge.again and path.is_file() and (count := failed()):
            study.say(f'{stage} {name}: {count} got no reply and are asked again')
            path.unlink()  # so that the ledger finds it undone; the replies that came are in the cache

    process.by_leader('again', again)
    study.ledger.do(stage, f'{name}.{path.name.partition(".")[0]}', settings, do, clear, shared=True)


def _sum_up(study: Study, name: str, files: list[Path]) -> None:
    """The figures of what a judge said: NAME.json, and NAME.pairs.json where it compared."""
    judge, experiment = files[0].stem, study.experiment
    drawn = experiment.respond.samples, experiment.sweep.bootstrap, experiment.seed
    groups = judges.groups(study)

    def work() -> list[Path]:
        written = [summary.write(files[0].parent, judge, _rows(study, name), groups, *drawn)]
        for path in files[1:]:
            found = preferences.figures([(each.example_id, pairs.result(each)) for each in pairs.read(path)], *drawn)
            paths.write_json(path.with_suffix('.json'), {'judge': judge, 'other': experiment.judge.pairwise} | found)
            written.append(path.with_suffix('.json'))
        return written

    def clear() -> None:
        for path in files:
            path.with_suffix('.json').unlink(missing_ok=True)

    study.ledger.do('scores', f'{name}.{judge}', depends.of_scores(study, files, groups), work, clear)


def _rows(study: Study, source: str) -> list[Row]:
    """The responses of a run or the base, each with the texts that a judge reads."""
    return answered.read(study.workdir.responses(source))


def _counted(outcomes: Iterable[str]) -> str:
    counts = collections.Counter(outcomes)
    return ', '.join(f'{counts[each]} {each}' for each in OUTCOMES if counts[each])
