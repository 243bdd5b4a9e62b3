"""The measures by the textbook's formulas, in float64, one position at a time."""

import numpy as np

from jaxshift.shift.measures import Measures

EXACT = (
    'base_argmax_id', 'tuned_argmax_id', 'base_rank', 'emitted_base_rank', 'emitted_tuned_rank',
    'top_ids_base', 'top_ids_tuned',
)  # fmt: skip


def order(logits):
    """Ids from the likeliest on; among equals the lower one first."""
    return np.argsort(-logits, kind='stable').tolist()


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def by_loops(base_logits, tuned_logits, emitted, top_k=10):
    """What `measures` must give for logits [N, V] and tokens [N]."""
    rows = []
    for base, tuned, token in zip(base_logits, tuned_logits, emitted, strict=True):
        log_q, log_p = log_softmax(base), log_softmax(tuned)
        q, p = np.exp(log_q), np.exp(log_p)
        log_m = np.log((p + q) / 2)
        by_base, by_tuned = order(base), order(tuned)
        favourite = by_tuned[0]
        rows.append(
            Measures(
                base_argmax_id=by_base[0],
                tuned_argmax_id=favourite,
                base_rank=1 + by_base.index(favourite),
                emitted_base_rank=1 + by_base.index(token),
                emitted_tuned_rank=1 + by_tuned.index(token),
                base_logprob=log_q[favourite],
                tuned_logprob=log_p[favourite],
                emitted_base_logprob=log_q[token],
                emitted_tuned_logprob=log_p[token],
                kl_tuned_base=(p * (log_p - log_q)).sum(),
                kl_base_tuned=(q * (log_q - log_p)).sum(),
                js=((p * (log_p - log_m)).sum() + (q * (log_q - log_m)).sum()) / 2,
                total_variation=abs(p - q).sum() / 2,
                base_entropy=-(q * log_q).sum(),
                tuned_entropy=-(p * log_p).sum(),
                top_ids_base=by_base[:top_k],
                top_logprobs_base=log_q[by_base[:top_k]],
                top_ids_tuned=by_tuned[:top_k],
                top_logprobs_tuned=log_p[by_tuned[:top_k]],
            )
        )
    return Measures(*(np.array(column) for column in zip(*rows, strict=True)))


def assert_same(found, expected, atol=1e-7, rtol=1e-4):
    """Ids and ranks must be equal, everything else near."""
    for name, ours, theirs in zip(Measures._fields, found, expected, strict=True):
        if name in EXACT:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
        else:
            np.testing.assert_allclose(ours, theirs, atol=atol, rtol=rtol, err_msg=name)
