"""Length and form of what tuning saw, what the run says and what the base says: causes/imitation.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxshift import depends, treatments
from jaxshift.causes import imitation
from jaxshift.depends import Settings
from jaxshift.errors import InputError
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.respond import responses
from jaxshift.study import Study, file_hash

NAME = 'imitation'

Said = tuple[list[str], list[int], list[str]]  # texts, their tokens, what they answer


def _settings(study: Study, run: str) -> Settings:
    asked = study.experiment
    treatment = asked.runs[run].treatment
    data = depends.of_data(study, treatment) if treatments.sources(study, treatment) else {}
    return {
        'seed': asked.seed,
        'bootstrap': asked.sweep.bootstrap,
        **depends.of_samples(study),
        'reading': study.reading,
        **data,
        'responses': file_hash(study.workdir.responses(run)),
        'base_responses': '' if _lacking(study) else file_hash(study.workdir.responses(depends.BASE)),
    }


def _work(study: Study, run: str) -> list[Path]:
    asked = study.experiment
    said = {'data': _data(study, run), 'tuned': _responses(study, run)}
    if why := _lacking(study):
        study.say(f'imitation {run}: without responses of the base: {why}')
    else:
        said['base'] = _responses(study, depends.BASE)
    drawn = asked.sweep.bootstrap, asked.seed
    profiles = {name: imitation.profile(*texts, *drawn) for name, texts in said.items()}
    openings = imitation.compare({name: texts for name, (texts, *_) in said.items()}, asked.seed)
    treatment = asked.runs[run].treatment
    return keep(study, run, NAME, {'treatment': treatment, 'sources': profiles, 'openings': openings})


def _lacking(study: Study) -> str:
    """Why there are no responses of the base to hold those of the run against; '' where there are.

    No stage makes them anew where nothing else asks for them, so those that lie there may answer other prompts.
    """
    path = study.workdir.responses(depends.BASE)
    if not path.is_file():
        return f'{path}: no such file; --mode=respond with base in config.sweep.contexts writes it'
    try:
        depends.check_responses(study, depends.BASE)
    except InputError as error:
        return str(error)
    return ''


def _data(study: Study, run: str) -> Said:
    """The answers that the run was trained on; none of plain texts and of token ids made elsewhere."""
    treatment = study.experiment.runs[run].treatment
    there = treatments.sources(study, treatment)
    examples = treatments.instructions(study, treatment).examples if there else []
    answers = [
        (turn.content, example.id) for example in examples for turn in example.messages if turn.role == 'assistant'
    ]
    texts = [text for text, _ in answers]
    ids = study.tokenizer(texts, add_special_tokens=False)['input_ids'] if texts else []
    return texts, [len(each) for each in ids], [example for _, example in answers]


def _responses(study: Study, name: str) -> Said:
    rows, samples = responses.read(study.workdir.responses(name)), study.experiment.respond.samples
    stops = set(study.template.stop_ids)
    tokens = [sum(token not in stops for token in row['token_ids']) for row in rows]
    return (
        [text_of(study, row) for row in rows],
        tokens,
        [responses.prompt_of(row['example_id'], samples) for row in rows],
    )


def text_of(study: Study, row: dict[str, Any]) -> str:
    """What a response says; another tool may have written its tokens alone."""
    given = row.get('response')
    return given if isinstance(given, str) else str(study.tokenizer.decode(row['token_ids'], skip_special_tokens=True))


ANALYSIS = Analysis(lambda study: True, _settings, _work)
