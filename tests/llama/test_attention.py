import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxshift.llama import attention

FORMS = {  # BLOCK and SHORT that lead to it, for 37 positions
    'direct': (512, 128),
    'blocks of queries': (512, 8),
    'online softmax': (8, 128),
    'online softmax, three blocks': (16, 128),
}


def choose(monkeypatch, form):
    for name, size in zip(('BLOCK', 'SHORT'), FORMS[form], strict=True):
        monkeypatch.setattr(attention, name, size)


def draw(length, pair=False, seed=0):
    """Queries of 4 heads, keys and values of 2, for 2 rows."""
    random = np.random.default_rng(seed)
    lead = (2, 2) if pair else (2,)
    return [random.normal(0, 2, (*lead, length, heads, 8)).astype(np.float32) for heads in (4, 2, 2)]


def packed_segments(length):
    return np.sort(np.random.default_rng(1).integers(1, 4, (2, length)), axis=1).astype(np.int32)


def by_loops(q, k, v, segments, window=None):
    """float64, one query of one head at a time."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    out = np.zeros_like(q)
    for *lead, b, t, h in np.ndindex(q.shape[:-1]):
        row, kv = (*lead, b), h // (q.shape[-2] // k.shape[-2])
        first = 0 if window is None else max(0, t + 1 - window)
        seen = [s for s in range(first, t + 1) if segments[b, s] == segments[b, t]]
        scores = np.array([q[*row, t, h] @ k[*row, s, kv] for s in seen]) / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max())
        out[*row, t, h] = sum(w * v[*row, s, kv] for w, s in zip(weights / weights.sum(), seen, strict=True))
    return out


@pytest.mark.parametrize('window', [None, 1, 7, 16, 37])
@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('pair', [False, True], ids=['rows', 'pairs of rows'])
def test_attention_is_that_of_a_float64_loop_whatever_its_form(monkeypatch, packed, pair, window):
    q, k, v = draw(37, pair)
    segments = packed_segments(37) if packed else None
    expected = by_loops(q, k, v, np.zeros((2, 37)) if segments is None else segments, window)
    for form in FORMS:
        choose(monkeypatch, form)
        found = jax.jit(lambda q, k, v: attention.causal(q, k, v, segments, window))(q, k, v)
        np.testing.assert_allclose(found, expected, atol=2e-6, rtol=1e-5, err_msg=form)


@pytest.mark.parametrize('window', [None, 7])
def test_every_form_has_the_gradient_of_the_direct_one(monkeypatch, window):
    segments, mix = packed_segments(37), np.random.default_rng(2).normal(size=(2, 37, 4, 8))

    def gradient(form):
        choose(monkeypatch, form)
        return jax.jit(jax.grad(lambda qkv: (attention.causal(*qkv, segments, window) * mix).sum()))(draw(37))

    direct = gradient('direct')
    assert min(abs(part).max() for part in direct) > 0.1
    for form in FORMS:
        for found, expected in zip(gradient(form), direct, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4, err_msg=form)


@pytest.mark.parametrize('backward', [False, True])
def test_temporaries_grow_with_the_length_not_with_its_square(backward):
    def temporaries(length):
        shapes = [jax.ShapeDtypeStruct((1, length, heads, 16), jnp.float32) for heads in (4, 2, 2)]
        function = lambda q, k, v: attention.causal(q, k, v).sum()  # noqa: E731
        compiled = jax.jit(jax.grad(function) if backward else attention.causal).lower(*shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    short, long = temporaries(2048), temporaries(8192)
    assert long < 4 * short
    assert long < 4 * 8192 * 8192  # not even one head's scores


@pytest.mark.parametrize('window', [None, 4])
def test_a_new_position_sees_the_filled_slots_of_its_window_alone(window):
    q, k, v = draw(12)
    whole = attention.causal(q[:, :9], k[:, :9], v[:, :9], window=window)
    valid = np.arange(12)[None] < np.array([[9], [9]])
    out = attention.cached(q[:, 8:9], k, v, jnp.asarray(valid), newest=8, window=window)
    np.testing.assert_allclose(out[:, 0], whole[:, 8], atol=1e-6, rtol=1e-6)
