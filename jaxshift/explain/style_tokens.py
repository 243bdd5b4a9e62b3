"""The style tokens of a run: causes/style_tokens.json, .tokens.parquet and .contexts.parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from jaxshift import depends
from jaxshift.causes import style_tokens
from jaxshift.depends import Settings
from jaxshift.explain import windows
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
    texts = texts_of(study, tokens)
    kind = style_tokens.kinds(tokens, texts, ends)
    rows, prior = style_tokens.of_tokens(tokens, kind, texts, ends, asked.causes.style_tokens_least)
    shares = style_tokens.of_categories(tokens, kind, asked.respond.samples, asked.sweep.bootstrap, asked.seed)
    figures = {'windows': shown, 'least': asked.causes.style_tokens_least, 'prior': prior, 'categories': shares}
    around = style_tokens.contexts(tokens, rows, texts)
    tables = {name: _table(found) for name, found in (('tokens', rows), ('contexts', around)) if found}
    return keep(study, run, NAME, figures, tables)


def _table(rows: list[style_tokens.Row]) -> pa.Table:
    return pa.Table.from_pylist(rows)


def texts_of(study: Study, tokens: pa.Table) -> dict[int, str]:
    """The text of each token that the records name, with the blank before it if it stands for one.

    `study.pieces` will not do: a tokenizer takes the first blank of a text away, and a token that is decoded alone is a
    text. So each is decoded behind another one.
    """
    columns = ('token_id', 'tuned_argmax_id', 'base_argmax_id')
    ids = sorted({each for name in columns for each in pc.unique(tokens[name]).to_pylist()})
    first = study.tokenizer('a', add_special_tokens=False)['input_ids'][-1]
    before, *both = study.tokenizer.batch_decode(
        [[first], *([first, each] for each in ids)], clean_up_tokenization_spaces=False
    )
    return {
        each: text.removeprefix(before) if text.startswith(before) else study.pieces[each]
        for each, text in zip(ids, both, strict=True)
    }


ANALYSIS = Analysis(lambda study: True, _settings, _work)
