"""Token records of responses whose every token, rank and class is planted."""

import numpy as np

from jaxshift.shift import records

SPAN = 20  # tokens of a row that a response says


def tokens(responses, chosen=None, run='lora'):
    """Records of {example id: [(token id, base rank), ...]}; the choice is what was said, or that of `chosen`."""
    said = [token for rows in responses.values() for token, _ in rows]
    rank = np.array([rank for rows in responses.values() for _, rank in rows])
    measures = {name: np.zeros(len(said)) for name in records.MEASURES}
    measures |= {'token_id': np.array(said), 'tuned_argmax_id': np.array(chosen or said), 'base_rank': rank}
    measures |= {'base_argmax_id': np.ones(len(said)), 'kl_tuned_base': rank / 10}
    measures |= {name: np.zeros((len(said), 1)) for name in records.LISTS}
    names = [name for name, rows in responses.items() for _ in rows]
    positions = np.concatenate([np.arange(len(rows)) for rows in responses.values()])
    return records.table(run, 'own', 'matched', -1, names, measures, positions=positions)
