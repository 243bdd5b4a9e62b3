"""The section of what people said: which responses hallucinate, and how far the annotators agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxshift.report.results import Results
from jaxshift.report.section import Section
from jaxshift.report.tables import Row
from jaxshift.report.wording import number

_TITLE = 'What people said of the responses'
_RULE = (
    'Annotators read the runs’ responses in mixed order, without knowing whose they are, and mark those that '
    'hallucinate and the phrases that do (sheet/ANNOTATOR.csv). Intervals are over prompts. Of a kappa or an alpha 1 '
    'is full agreement and 0 what chance gives; a dash: fewer than two judged the same, or all said one thing.'
)
_SHARES = ('hallucinates', 'in_tuning_data')


def section(found: Results) -> Section | None:
    """What sheet/figures.json says; it is of the responses that were there when it was written."""
    if found.outdated_sheet:
        replaced = 'sheet/figures.json is of responses that were since replaced, so it is left out here.'
        return Section(_TITLE, [f'{replaced} Ask again with --mode=sheet.'])
    if not found.annotated:
        return None
    agreement = found.annotated['agreement']
    tables = {
        'annotated': [_row(run, figures) for run, figures in found.annotated['runs'].items()],
        'annotators': agreement['cohen_kappa'],
    }
    return Section(
        _TITLE, [_RULE, _alpha(agreement['krippendorff_alpha'])], {name: rows for name, rows in tables.items() if rows}
    )


def _row(run: str, figures: Mapping[str, Any]) -> Row:
    row: Row = {'run': run, 'marked': figures['marked'], 'phrases': figures['phrases']}
    for name in _SHARES:
        low, high = figures[f'{name}_interval'] or (None, None)
        row |= {name: figures[name], f'{name}_low': low, f'{name}_high': high}
    return row


def _alpha(alpha: Mapping[str, float | None]) -> str:
    return (
        f'Krippendorff’s alpha of all annotators is {number(alpha["responses"])} on whether a response hallucinates, '
        f'and {number(alpha["words"])} on which words do.'
    )
