"""The model card beside an export: what made it, and what has been measured, from the files of the workdir alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxshift import depends, outward, treatments, tuning
from jaxshift.config import Run, Sweep
from jaxshift.shift import summary
from jaxshift.store import ledger
from jaxshift.study import Study

FILE = 'README.md'
_LIBRARIES = {'adapter': 'peft', 'model': 'transformers'}
_UNUSED = ('method', 'source')  # said in words
# Settings of the sweep: every row names its own of these, and the last two only say how the work is dealt.
_UNNAMED = ('contexts', 'templates', 'context_lengths', 'steps', 'batch_size', 'chunk')
_LORA = ('rank', 'alpha', 'targets', 'rslora', 'rank_pattern', 'alpha_pattern', 'dropout')


def text(study: Study, name: str, kind: str) -> str:
    """The card of a run's 'adapter' or 'model'.

    Raises:
      InputError: summary.json is not of this run as it is.
    """
    run = study.experiment.runs[name]
    parts = [
        _head(study, run, kind),
        f'# {name}\n',
        _first(study, name, kind),
        '## Data\n',
        *(_data(study, run) if run.method != 'given' else ['It was tuned elsewhere; its data are not known here.\n']),
        *(['## Hyper-parameters\n', *_settings(study, run)] if run.method != 'given' else []),
        '## Measured shift\n',
        *_shift(study, name),
        '## Versions\n',
        _table(('package', 'version'), json.loads(study.workdir.experiment.read_text())['versions'].items()),
    ]
    return '\n'.join(parts)


def _head(study: Study, run: Run, kind: str) -> str:
    """The block that the hub reads: YAML, whose values may be written as JSON."""
    source, _, name = study.experiment.base.source.partition(':')
    values: dict[str, Any] = {'library_name': _LIBRARIES[kind], 'pipeline_tag': 'text-generation'}
    if source == 'hf':  # the hub takes its own names alone
        values |= {'base_model': name, 'base_model_relation': 'adapter' if kind == 'adapter' else 'finetune'}
    if run.method != 'given':
        kinds = (each.partition(':') for each in treatments.sources(study, run.treatment))
        named = [rest.partition(':')[0] for way, _, rest in kinds if way == 'datasets']
        named = [each for each in named if not Path(each).exists()]  # a folder is none of the hub's
        values |= {'datasets': named} if named else {}
    values['tags'] = ['jaxshift', *(['lora'] if run.method == 'lora' else [])]
    lines = (f'{key}: {json.dumps(value, ensure_ascii=False)}' for key, value in values.items())
    return '\n'.join(['---', *lines, '---\n'])


def _first(study: Study, name: str, kind: str) -> str:
    run, base = study.experiment.runs[name], study.experiment.base
    made = {
        'lora': 'a LoRA adapter',
        'full': 'trained in full',
        'pretrain': 'pre-trained further, on every token of plain text',
        'given': f'tuned elsewhere ({run.source})',
    }[run.method]
    folded = ', folded into the base' if tuning.is_lazy(study, name) else ''
    stored = '' if kind == 'adapter' else f'{folded}, in {study.experiment.export.dtype}'
    kept = f'quantised to {base.quantize}' if base.quantize else f'in {base.dtype}'
    return (
        f'Run `{name}` of the study "{study.experiment.name}": {made}{stored}. The base is `{study.base.model_id}`, '
        f'held {kept} while this was made.\n'
    )


def _data(study: Study, run: Run) -> Iterator[str]:
    record, figures = ledger.read(study.workdir.done('data', run.treatment)), tuning.figures(study, run)
    rows = [(f'`{source}`', each['format'], f'{each["examples"]:,}') for source, each in figures['sources'].items()]
    yield _table(('source', 'format', 'examples'), rows)
    if run.treatment:
        treated = dataclasses.asdict(treatments.named(study, run.treatment)).items()
        yield f'Treatment `{run.treatment}`: {", ".join(f"{key} {value!r}" for key, value in treated if value)}.\n'
    counts = ', '.join(f'{key.replace("_", " ")}: {count:,}' for key, count in figures['counts'].items())
    hashes = {} if record is None else record['settings']
    yield f'{counts[:1].upper()}{counts[1:]}.\n'
    names = [key for key in ('records', 'template', 'tokenizer') if key in hashes]
    yield _table(('SHA-256 of', ''), [(key, f'`{hashes[key]}`') for key in names])


def _settings(study: Study, run: Run) -> Iterator[str]:
    figures, every = tuning.figures(study, run), depends.of_run(run)
    unused = (*_UNUSED, *(() if run.method == 'lora' else _LORA))
    yield f'{figures["steps"]:,} steps; {figures["trainable_parameters"]:,} parameters were trained.\n'
    yield _table(('key', 'value'), [(key, f'`{value}`') for key, value in every.items() if key not in unused])


def _shift(study: Study, name: str) -> Iterator[str]:
    path, asked = study.workdir.run(name) / 'summary.json', outward.of_measured(study, name)
    if not path.is_file():
        yield 'It has not been measured.\n'
        return
    usual = dataclasses.asdict(Sweep())
    unusual = [f'`{key}={value}`' for key, value in asked.items() if key not in _UNNAMED and value != usual[key]]
    yield (
        'Between the next-token distributions of the base and of this run, over the whole vocabulary, with 95 % '
        f'intervals by bootstrap over prompts; computed in {study.experiment.base.dtype}, before the export'
        + (f'; settings of the sweep unlike their defaults: {", ".join(unusual)}.\n' if unusual else '.\n')
    )
    rows = []
    for item in summary.read(path):
        found = item['all']
        step = f', step {item["step"]}' if 'step' in item else ''
        rows.append((
            summary.described(item) + step, f'{found["positions"]:,}', _mean(found['kl_tuned_base'], '.4f'),
            _mean(found['same_top_1'], '.1f'), *(_mean(found['shares'][each], '.1f') for each in found['shares']),
        ))  # fmt: skip
    classes = [f'{each} (%)' for each in found['shares']]
    head = ('windows', 'positions', 'mean KL(tuned || base) (nats)', 'same top-1 (%)', *classes)
    yield _table(head, rows)


def _mean(figure: dict[str, Any], form: str) -> str:
    if figure['mean'] is None:
        return 'none'
    ends = figure['interval']
    return f'{figure["mean"]:{form}}' + (f' [{ends[0]:{form}}, {ends[1]:{form}}]' if ends else '')


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in cells)} |'

    return '\n'.join([line(head), '|' + '---|' * len(head), *map(line, rows), ''])
