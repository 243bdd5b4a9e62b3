"""A few responses of every run, token by token, with their classes."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from jaxshift.report.results import Results
from jaxshift.report.style import token_text
from jaxshift.report.tables import Row
from jaxshift.report.wording import number
from jaxshift.shift.curves import Pieces

_MOST = 3


def examples(found: Results, pieces: Pieces) -> list[Row]:
    """The first prompts that every run answered: id, text (None if unknown), and each run's tokens (see `_spans`)."""
    shared = {example for example, _ in found.shared_prompts}
    for table in found.tokens.values():
        shared &= set(pc.unique(table['example_id']).to_pylist())
    return [
        {
            'id': example,
            'prompt': next(iter(found.responses.values()))[example].get('prompt'),
            'runs': {
                run: _spans(table.filter(pc.equal(table['example_id'], example)), pieces, found.responses[run][example])
                for run, table in found.tokens.items()
            },
        }
        for example in sorted(shared)[:_MOST]
    ]


def _spans(rows: pa.Table, pieces: Pieces, response: Row) -> list[Row]:
    """Text, class, title and the blank after each token."""
    texts = [pieces[token] for token in rows['token_id'].to_pylist()]
    # Pieces of a tokenizer that keeps no blanks need them back where the response has them.
    gap = ' ' if ' ' in response.get('response', '').strip() and not any(' ' in text for text in texts) else ''
    return [
        {
            # A line end has no width of its own to be underlined.
            'text': text if row['shift_class'] == 'unshifted' else text.replace('\n', '⏎\n'),
            'shift_class': row['shift_class'],
            'title': f'{row["shift_class"]}: base rank {row["base_rank"]}, KL {number(row["kl_tuned_base"])} nats; '
            f'the base would say {token_text(pieces[row["base_argmax_id"]])}',
            'gap': gap,
        }
        for text, row in zip(texts, rows.to_pylist(), strict=True)
    ]
