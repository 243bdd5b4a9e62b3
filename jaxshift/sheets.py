"""`--mode=sheet`: sheets for people to annotate, and what they said once they are filled in."""

from __future__ import annotations

from jaxshift.errors import InputError
from jaxshift.judge import answered, sheet
from jaxshift.store import manifest, paths
from jaxshift.study import Study


def sheets(study: Study) -> None:
    """Writes sheet/ANNOTATOR.csv for each annotator who has none, and sheet/figures.json of those who said something.

    Raises:
      InputError: a run was not answered, or not in texts, or a sheet holds what cannot be; see `sheet.read`.
    """
    asked, folder = study.experiment.sheet, study.workdir.sheet
    answers = {run: answered.read(study.workdir.responses(run)) for run in study.only}
    rows = sheet.draw(answers, asked.prompts, study.experiment.seed)
    if not rows:
        raise InputError(f'{study.workdir.root}: the runs {", ".join(study.only)} share no prompt that they answered')
    marks = {}
    for name in asked.annotators:
        path = folder / f'{name}.csv'
        if not path.is_file():
            sheet.write(rows, path)
            study.say(f'sheet: {path}, {len(rows)} responses to mark')
            continue
        said = sheet.read(path, rows)
        done = sum(mark.hallucinates is not None for mark in said)
        study.say(f'sheet: {path}, {done} of {len(rows)} responses marked')
        if done:
            marks[name] = said
    sheet.write_key(rows, folder / 'key.csv')
    if marks:
        data = study.instructions().once if study.data_sources else ()
        tuning = [turn.content for each in data for turn in each.messages if turn.role == 'assistant']
        found = sheet.figures(rows, marks, tuning, study.experiment.sweep.bootstrap, study.experiment.seed)
        found['files'] = manifest.digests(study.workdir.root, [study.workdir.responses(run) for run in study.only])
        paths.write_json(folder / 'figures.json', found)
        for run, figures in found['runs'].items():
            study.say(f'{run}: {_told(figures)}')
        alphas = found['agreement']['krippendorff_alpha'].items()
        told = ', '.join(f'{name} {"–" if value is None else f"{value:.2f}"}' for name, value in alphas)
        study.say(f"Krippendorff's alpha: {told}; see {folder / 'figures.json'}")


def _told(figures: dict) -> str:
    if figures['hallucinates'] is None:
        return 'nothing was marked'
    return f'{100 * figures["hallucinates"]:.0f} % of {figures["marked"]} judgements say that it hallucinates'
