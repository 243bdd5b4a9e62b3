"""Against a transcription of the published code's formulas: src/compute_dist_diff.py of Re-Align/AlignTDS."""

import math

import numpy as np
import pytest

from jaxshift.shift import aligntds

PIECES = [f't{i}' for i in range(60)] + ['a', 'a', 'b', 'b']  # tokens of one text occur


def published(base, tuned):
    """Lists of (id, text, logit), best first, of base (list 1) and tuned (list 2)."""

    def norm(tokens):
        most = max(logit for *_, logit in tokens)
        total = sum(math.exp(logit - most) for *_, logit in tokens)
        return [math.exp(logit - most) / total for *_, logit in tokens]

    def weights(top_k):
        one, two = [text for _, text, _ in base[:top_k]], [text for _, text, _ in tuned[:top_k]]
        for text in set(one) | set(two):
            yield (
                norm(base)[one.index(text)] if text in one else 0,
                norm(tuned)[two.index(text)] if text in two else 0,
            )

    def kl(top_k):
        return sum(w1 * math.log(w1 / w2) for w1, w2 in weights(top_k) if w1 > 0 and w2 > 0)

    def weighted_sum(top_k):
        return sum(w1 * w2 for w1, w2 in weights(top_k))

    def jaccard(top_k):
        one, two = ({text for _, text, _ in tokens[:top_k]} for tokens in (base, tuned))
        return len(one & two) / len(one | two)

    relevance = {token: 1 / math.log2(i + 2) for i, (token, *_) in enumerate(tuned)}
    dcg = sum(relevance.get(token, 0.0) / math.log2(i + 2) for i, (token, *_) in enumerate(base))
    ideal = sorted(relevance.values(), reverse=True)
    texts = [text for _, text, _ in base[:50]]
    top = tuned[0][1]
    return {
        'aligntds_kl': kl(50),
        'aligntds_kl_10': kl(10),
        'aligntds_jaccard': jaccard(50),
        'aligntds_jaccard_10': jaccard(10),
        'aligntds_ndcg': dcg / sum(ideal[i] / math.log2(i + 2) for i in range(len(base))),
        'aligntds_weighted_sum': weighted_sum(50),
        'aligntds_weighted_sum_10': weighted_sum(10),
        'aligntds_top_rank': texts.index(top) if top in texts else 50,
        'aligntds_top_probability': norm(base)[texts.index(top)] if top in texts else 0.0,
    }


def lists(logits):
    ids = np.argsort(-logits, axis=1, kind='stable')[:, : aligntds.KEPT]
    kept = np.take_along_axis(logits, ids, axis=1)
    return ids, kept


def test_a_thousand_random_pairs_are_those_of_the_published_formulas():
    random = np.random.default_rng(0)
    base = 3 * random.standard_normal((1000, 64))
    tuned = base + random.gamma(1, 1.5, (1000, 1)) * random.standard_normal((1000, 64))
    (base_ids, base_logits), (tuned_ids, tuned_logits) = lists(base), lists(tuned)
    logprobs = base_logits - np.log(np.exp(base).sum(1, keepdims=True))
    found = aligntds.columns(base_ids, logprobs, tuned_ids, tuned_logits, aligntds.text_ids(PIECES))
    triples = [
        [list(zip(ids, (PIECES[i] for i in ids), row, strict=True)) for ids, row in zip(*each, strict=True)]
        for each in ((base_ids, base_logits), (tuned_ids, tuned_logits))
    ]
    expected = [published(*pair) for pair in zip(*triples, strict=True)]
    assert list(found) == list(aligntds.COLUMNS)
    for name, values in found.items():
        np.testing.assert_allclose(values, [row[name] for row in expected], rtol=1e-9, atol=1e-12, err_msg=name)
    negative = np.array([row['aligntds_kl'] for row in expected]) < 0
    assert 0 < negative.sum() < 1000
    np.testing.assert_array_equal(found['aligntds_kl'] < 0, negative)
    assert (found['aligntds_top_rank'] == 50).any()


def test_tokens_share_a_number_where_their_texts_are_the_same_to_the_last_character():
    assert aligntds.text_ids(['', '\x00', 'a', 'a\x00', '', 'a']).tolist() == [0, 1, 2, 3, 0, 2]


def test_a_token_that_only_one_list_holds_makes_the_published_kl_negative():
    with np.errstate(divide='ignore'):
        found = aligntds.columns(
            np.array([[0, 1]]), np.log([[0.5, 0.5]]), np.array([[0, 2]]), np.log([[0.9, 0.1]]), np.arange(3)
        )
    assert found['aligntds_kl'][0] == pytest.approx(0.5 * math.log(0.5 / 0.9))
    assert found['aligntds_kl'][0] == pytest.approx(-0.294, abs=5e-4)
