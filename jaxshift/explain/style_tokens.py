"""The style tokens of a run: causes/style_tokens.json, .tokens.parquet and .contexts.parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from jaxshift import depends
from jaxshift.causes import style_tokens
from jaxshift.depends import Settings
from jaxshift.explain import pieces, windows
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.study import Study

NAME = 'style_tokens'
_COLUMNS = ('token_id', 'tuned_argmax_id', 'base_argmax_id', 'base_rank', 'kl_tuned_base', 'shift_class')


def _settings(study: Study, run: str) -> Settings:
    asked = study.experiment
    return {
        'seed': asked.seed,
        'bootstrap': asked.sweep.bootstrap,
        'least': asked.causes.style_tokens_least,
        **depends.of_samples(study),
        'reading': study.reading,
        'tokens': study.ledger.result('sweep', run, depends.of_records(study, run)),
    }


def _work(study: Study, run: str) -> list[Path]:
    asked, ends = study.experiment, set(study.template.stop_ids)
    shown, tokens = windows.headline(study, run, _COLUMNS)
    read = pieces.reader(study.tokenizer)
    kind = style_tokens.kinds(tokens, read, ends)
    rows, prior = style_tokens.of_tokens(tokens, kind, read, ends, asked.causes.style_tokens_least)
    shares = style_tokens.of_categories(tokens, kind, asked.respond.samples, asked.sweep.bootstrap, asked.seed)
    figures = {'windows': shown, 'least': asked.causes.style_tokens_least, 'prior': prior, 'categories': shares}
    around = style_tokens.contexts(tokens, rows, read)
    tables = {name: _table(found) for name, found in (('tokens', rows), ('contexts', around)) if found}
    return keep(study, run, NAME, figures, tables)


def _table(rows: list[style_tokens.Row]) -> pa.Table:
    return pa.Table.from_pylist(rows)


ANALYSIS = Analysis(lambda study: True, _settings, _work)
