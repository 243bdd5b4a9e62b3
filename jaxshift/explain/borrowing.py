"""Borrowing from the tuning data: spans, the rows they came from, and the same search where nothing was trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from jaxshift import depends
from jaxshift.causes import borrowing, suffixes, words
from jaxshift.causes.draws import Draws
from jaxshift.causes.search import Search
from jaxshift.causes.spans import Span
from jaxshift.depends import Settings
from jaxshift.explain import corpora, embedding, origins, pieces, windows
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.respond import responses
from jaxshift.shift import curves, summary
from jaxshift.shift.classes import CLASSES
from jaxshift.study import Study, file_hash

_EXAMPLES = 20  # spans that the page shows
_AROUND = 8  # tokens of the response shown on either side of a span


class Answers(NamedTuple):
    """Responses with their token records, without end tokens.

    Attributes:
      ids: example ids.
      prompts, texts: token ids.
      classes: int [P] over all tokens, of `CLASSES`.
      logprobs: [P], of the emitted token under the tuned model.
      left_out: responses without a word, or without records of the plain comparison.
    """

    ids: list[str]
    prompts: list[np.ndarray]
    texts: list[np.ndarray]
    classes: np.ndarray
    logprobs: np.ndarray
    left_out: int


def lacking(study: Study) -> str:
    """What the search needs and the study has not, with what to do; else empty."""
    sweep = study.experiment.sweep
    if not study.data_sources:
        return 'there is no tuning data here, set config.data.source'
    if 'own' not in sweep.contexts or 'matched' not in sweep.templates or -1 not in sweep.context_lengths:
        return f'it needs the comparison of {summary.described(summary.PLAIN)}'
    if not corpora.null_is(study):
        return (
            'there are no rows that no run trains on to hold it against: set config.data.held_out or data.subset '
            'before the data is made, or config.causes.borrowing_null=SOURCE'
        )
    return ''


def _applies(study: Study) -> bool:
    if reason := lacking(study):
        study.say(f'borrowing: passed over; {reason}')
    return not reason


def lacking_of(study: Study, run: str) -> str:
    """The same for one run."""
    return corpora.lacking(study, study.experiment.runs[run].treatment)


def settings(study: Study, run: str) -> Settings:
    asked = study.experiment
    treatment = asked.runs[run].treatment
    causes = {key: value for key, value in dataclasses.asdict(asked.causes).items() if key.startswith('borrowing_')}
    return {
        'seed': asked.seed,
        'bootstrap': asked.sweep.bootstrap,
        'causes': causes,
        'data_files': study.ledger.finished('data', treatment, depends.of_data(study, treatment)),
        'null': corpora.settings(study, treatment),
        'base': study.base.fingerprint,
        'encoder': embedding.fingerprint(asked.causes.borrowing_encoder),
        'responses': file_hash(study.workdir.responses(run)),
        **depends.of_samples(study),
        'reading': study.reading,
        'tokens': study.ledger.result('sweep', run, depends.of_records(study, run)),
    }


def _work(study: Study, run: str) -> list[Path]:
    answers, treatment = read_answers(study, run), study.experiment.runs[run].treatment
    found = corpora.read(study, treatment, answers.prompts)
    left_out = {'responses': answers.left_out, **found.left_out}
    if told := ', '.join(f'{name} {count}' for name, count in left_out.items() if count):
        study.say(f'borrowing {run}: left out {told}')
    search, whole = looked_up(study, answers, found)
    chosen = search.suspected[: origins.MOST_SPANS]
    ranked = origins.origins(study, search, chosen, whole, found.tuning)
    overlap = borrowing.overlap(search)
    figures = {
        'run': run,
        'encoder': study.experiment.causes.borrowing_encoder,
        'null_is': corpora.null_is(study, treatment),
        'rows': len(found.sample),
        'all_rows': len(found.tuning),
        'tokens': sum(map(len, found.sampled)),
        'null_rows': len(found.null),
        'null_all_rows': found.null_rows,
        'null_tokens': sum(map(len, found.null)),
        'responses': len(answers.ids),
        'left_out': left_out,
        'least': search.least,
        **overlap,
        'words': _words(study, search, answers.classes, found),
        'borrowed': borrowing.called(search),
        'span_tokens': borrowing.shifted_spans(search, answers.classes),
        'strata': borrowing.strata(search, overlap['covered']['p']),
        'examples': _examples(study, search, answers, chosen[:_EXAMPLES], ranked, found),
    }
    tables = {'spans': _spans(study, search, answers), 'rows': _rows(study, search, chosen, ranked, found)}
    return keep(study, run, 'borrowing', figures, tables)


def looked_up(study: Study, answers: Answers, found: corpora.Corpora) -> tuple[Search, suffixes.Suffixes]:
    """The responses in both corpora, and an index of all tuning data."""
    prompt, prompts = curves.prompt_of_response(answers.ids, study.experiment.respond.samples)
    draws = Draws(prompt, prompts, study.experiment.sweep.bootstrap, study.experiment.seed)
    sampled = suffixes.index(found.sampled)
    whole = sampled if len(found.sample) == len(found.tuning) else suffixes.index(found.tuning)
    least = study.experiment.causes.borrowing_min_length
    return Search((sampled, suffixes.index(found.null)), answers.texts, answers.prompts, least, draws), whole


def read_answers(study: Study, run: str) -> Answers:
    """The responses of a run, and what the sweep says of their tokens."""
    ids, prompts, texts, left_out = [], [], [], 0
    classes, logprobs = [], []
    _, table = windows.headline(study, run, ('shift_class', 'emitted_tuned_logprob'))
    starts = dict(zip(*np.unique(table['example_id'].to_numpy(zero_copy_only=False), return_index=True), strict=True))
    code = np.searchsorted(CLASSES, table['shift_class'].to_pylist(), sorter=np.argsort(CLASSES))
    code = np.argsort(CLASSES)[code]
    logprob = table['emitted_tuned_logprob'].to_numpy()
    for row in responses.read(study.workdir.responses(run)):
        text = np.array(row['token_ids'], np.int64)
        ends = np.isin(text, study.template.stop_ids)
        size = len(text) - int(np.cumprod(ends[::-1]).sum())
        start = starts.get(row['example_id'])
        if not size or start is None:
            left_out += 1
            continue
        ids.append(row['example_id'])
        prompts.append(np.array(row['prompt_token_ids'], np.int64))
        texts.append(text[:size])
        classes.append(code[start : start + size])
        logprobs.append(logprob[start : start + size])
    return Answers(ids, prompts, texts, np.concatenate([[], *classes]), np.concatenate([[], *logprobs]), left_out)


def _words(study: Study, search: Search, classes: np.ndarray, found: corpora.Corpora) -> dict[str, Any]:
    known = [words.vocabulary(_decoded(study, rows)) for rows in (found.sampled, found.null)]
    begun, before = [], 0
    for said in pieces.spoken(study.tokenizer, search.texts):
        begun += [(before + at, word) for at, word in words.begun(said)]
        before += len(said)
    return {'rule': words.RULE} | borrowing.words(search, begun, classes, (known[0], known[1]))


def _decoded(study: Study, rows: Sequence[Sequence[int] | np.ndarray]) -> list[str]:
    # Of no row at all transformers makes one text.
    return list(study.tokenizer.batch_decode(rows, skip_special_tokens=True)) if rows else []


def _spans(study: Study, search: Search, answers: Answers) -> pa.Table:
    """One row for each maximal span of the tuning data: whose, where, what it says, and whether it is borrowed."""
    found, borrowed = search.spans[0], set(search.borrowed)
    before = np.cumsum([0, *map(len, search.texts)])
    number = [int(search.response[span.start]) for span in found]
    inside = [answers.classes[span.start : span.start + span.length] for span in found]
    return pa.table(
        {
            'example_id': pa.array([answers.ids[each] for each in number], pa.string()),
            'position': pa.array([s.start - before[n] for s, n in zip(found, number, strict=True)], pa.int32()),
            'tokens': pa.array([span.length for span in found], pa.int32()),
            'beyond_null': pa.array([span.excess for span in found], pa.int32()),
            'chance': pa.array([search.chance_of(span) for span in found], pa.float64()),
            'borrowed': pa.array([span in borrowed for span in found], pa.bool_()),
            'text': pa.array(_decoded(study, [search.phrase(span) for span in found]), pa.string()),
            **{
                name: pa.array([int((each == code).sum()) for each in inside], pa.int32())
                for code, name in enumerate(CLASSES)
            },
        }
    )


def _rows(study, search: Search, chosen: list[Span], ranked: list[origins.Origin], found: corpora.Corpora) -> pa.Table:
    """One row for each of the strongest phrases and row that holds it."""
    texts = _decoded(study, [search.phrase(span) for span in chosen])
    columns = {name: [getattr(each, name) for each in ranked] for name in origins.Origin._fields}
    columns['span'] = [texts[each.span] for each in ranked]
    rows = _decoded(study, [found.tuning[each.row] for each in ranked])
    ids = [found.ids[each.row] for each in ranked]
    kinds = {'span': pa.string(), 'bm25': pa.float64(), 'cosine': pa.float64()}
    table = {name: pa.array(values, kinds.get(name, pa.int32())) for name, values in columns.items()}
    return pa.table(table | {'example_id': pa.array(ids, pa.string()), 'text': pa.array(rows, pa.string())})


def _examples(
    study: Study, search: Search, answers: Answers, chosen: list[Span], ranked: list[origins.Origin],
    found: corpora.Corpora,
) -> list[dict[str, Any]]:  # fmt: skip
    """The strongest phrases, each within its response, beside the row that ranks first."""
    shown = []
    for number, span in enumerate(chosen):
        of_span = [each for each in ranked if each.span == number]
        best = next(each for each in of_span if each.bm25_rank == 1)
        nearest = next(each for each in of_span if each.cosine_rank == 1)
        response = int(search.response[span.start])
        begin = span.start - sum(len(text) for text in search.texts[:response])
        text = search.texts[response]
        around = text[max(0, begin - _AROUND) : begin], text[begin + span.length : begin + span.length + _AROUND]
        before, after = _decoded(study, around)
        row, other = _decoded(study, [found.tuning[best.row], found.tuning[nearest.row]])
        shown.append(
            {
                'example_id': answers.ids[response],
                'before': before,
                'span': _decoded(study, [search.phrase(span)])[0],
                'after': after,
                'beyond_null': span.excess,
                'chance': search.chance[span.excess],
                'rows': best.rows,
                'row_by_bm25': {'id': found.ids[best.row], 'text': row},
                'row_by_embedding': {'id': found.ids[nearest.row], 'text': other},
            }
        )
    return shown


ANALYSIS = Analysis(_applies, settings, _work, computes=True, lacking=lacking_of)
