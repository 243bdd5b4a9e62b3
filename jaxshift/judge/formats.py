"""Files of just-eval, AlpacaEval and MT-bench: reading them, and writing responses and their scores for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxshift.data import sources
from jaxshift.data.formats import Example
from jaxshift.errors import InputError
from jaxshift.judge import judgement, just_eval, mt_bench
from jaxshift.judge.answered import Answered, Record
from jaxshift.judge.judgement import Judgement
from jaxshift.store import jsonl, paths

_NEEDED = {
    'just-eval': ('id', 'output_cand'),
    'MT-bench': ('question_id', 'model', 'judgment', 'score'),
    'jaxshift': ('example_id', 'outcome', 'scores', 'reasons', 'raw'),
}


def write_responses(folder: Path, generator: str, answered: Sequence[Answered]) -> list[Path]:
    """Writes a run's responses as just_eval.json, alpaca_eval.json and mt_bench.jsonl, with mt_bench_question.jsonl.

    Args:
      folder: takes the files.
      generator: what the tools call the model.
      answered: the responses; what the records of their prompts say of source, dataset and category is passed on. Of
        several to one prompt each stands by itself in the lists.
    """
    lists = {
        'just_eval.json': just_eval.outputs(generator, answered),
        'alpaca_eval.json': alpaca_outputs(generator, answered),
    }
    lines = {
        'mt_bench.jsonl': mt_bench.answers(generator, answered),
        'mt_bench_question.jsonl': mt_bench.questions(answered),
    }
    for name, items in lists.items():
        paths.write_json(folder / name, items)
    for name, items in lines.items():
        jsonl.write(folder / name, items)
    return [folder / name for name in (*lists, *lines)]


def write_judgements(
    folder: Path, generator: str, answered: Sequence[Answered], judge: str, judged: Sequence[Judgement]
) -> list[Path]:
    """Writes a judge's scores of these responses as just_eval_JUDGE.json and, one for each aspect, as
    mt_bench_JUDGE-ASPECT_single.jsonl.

    A judge that gives MT-bench's rating alone has no file of just-eval, whose scores end at 5.
    """
    aspects = dict.fromkeys(aspect for each in judged for aspect in each.scores)
    lines = {
        f'mt_bench_{judge}-{aspect}_single.jsonl': mt_bench.judgments(generator, answered, judged, aspect, judge)
        for aspect in aspects
    }
    for name, items in lines.items():
        jsonl.write(folder / name, items)
    written = [folder / name for name in lines]
    if aspects.keys() - {mt_bench.OVERALL}:
        written.append(folder / f'just_eval_{judge}.json')
        # Our judges are asked in other words than the tool's, so it is told of no prompt.
        paths.write_json(written[-1], just_eval.scored(just_eval.outputs(generator, answered), judged, judge, {}))
    return written


def alpaca_outputs(generator: str, answered: Sequence[Answered]) -> list[Record]:
    """AlpacaEval's model_outputs (github.com/tatsu-lab/alpaca_eval), which it matches by `instruction`."""
    return [
        {
            **({'dataset': each.record['dataset']} if 'dataset' in each.record else {}),
            'instruction': each.instruction,
            'output': each.output,
            'generator': generator,
        }
        for each in answered
    ]


def records_of(examples: Iterable[Example]) -> list[Record]:
    """What `answered.pair` needs of the prompts' records."""
    return [
        {
            'id': each.id,
            **{key: held[0] if len(held) == 1 else list(held) for key, held in each.tags.items()},
            **({'reference': list(each.reference)} if each.reference else {}),
        }
        for each in examples
    ]


def read(path: Path, fields: Sequence[str]) -> list[Record]:
    """The objects of a JSON list or of JSON Lines, each with at least these fields.

    Raises:
      InputError: names file, record and field.
    """
    found = []
    for record in sources.read(f'file:{path}'):
        value = record.value
        if not isinstance(value, dict):
            raise InputError(f'{record.where}: not a JSON object; write it as {{"key": value, ...}}')
        if missing := [field for field in fields if field not in value]:
            raise InputError(f'{record.where}: field {missing[0]} is missing; add it to every record')
        found.append(value)
    return found


def judgements(path: Path, model: str) -> tuple[list[Judgement], Counter[str]]:
    """Judgements made elsewhere: a scored file of just-eval, a single-answer model_judgment of MT-bench, or our own.

    Beside them: how many of the file are left out, by reason.

    Args:
      path: a JSON list or JSON Lines, whose kind is told from the fields of its first record.
      model: whose answers, of those that an MT-bench file has.

    Raises:
      InputError: the file cannot be read, is none of these, or a record lacks a field.
    """
    records = read(path, ())
    kind = next((kind for kind, fields in _NEEDED.items() if records and records[0].keys() >= set(fields)), None)
    if kind is None:
        needed = '; '.join(f'{kind} {", ".join(fields)}' for kind, fields in _NEEDED.items())
        raise InputError(f'{path}: holds no judgements; records must have the fields of one of these: {needed}')
    records = read(path, _NEEDED[kind])
    if kind == 'just-eval':
        return just_eval.judgements(records), Counter()
    if kind == 'MT-bench':
        return mt_bench.judgements(records, model)
    return judgement.read(path), Counter()
