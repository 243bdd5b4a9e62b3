import jax
import numpy as np

from jaxshift.tune.noise import neftune

WIDTH = 512


def drawn(segments, alpha=5.0, seed=0):
    segments = np.asarray(segments, np.int32)
    keys = jax.random.split(jax.random.key(seed), len(segments))
    return np.asarray(neftune(keys, segments, alpha, WIDTH))


PACKED = [[1] * 4 + [2] * 25 + [0] * 3, [1] * 9 + [2] * 2 + [3] * 21]


def test_noise_keeps_to_the_bound_of_each_examples_own_length_and_nearly_attains_it():
    found = drawn(PACKED)
    assert found.shape == (2, 32, WIDTH)
    for row, segments in zip(found, np.array(PACKED), strict=True):
        for example in set(segments) - {0}:
            part = row[segments == example]
            bound = 5.0 / np.sqrt(len(part) * WIDTH)
            assert 0.99 * bound < part.max() <= bound * (1 + 1e-6)
            assert 0.99 * bound < -part.min() <= bound * (1 + 1e-6)
            assert abs(part.mean()) < 0.1 * bound
            np.testing.assert_allclose(part.std(), bound / np.sqrt(3), rtol=0.05)  # uniform, not of another shape


def test_padding_gets_no_noise_and_does_not_count_as_length():
    padded, whole = drawn([[1] * 8 + [0] * 8])[0], drawn([[1] * 8])[0]
    assert not padded[8:].any()
    assert abs(padded[:8]).max() > 0.99 * 5.0 / np.sqrt(8 * WIDTH)
    np.testing.assert_allclose(abs(padded[:8]).max(), abs(whole).max(), rtol=0.01)


def test_each_row_has_noise_of_its_own_key_whatever_rows_stand_beside_it():
    keys = jax.random.split(jax.random.key(1), 3)
    segments = np.ones((3, 6), np.int32)
    together = neftune(keys, segments, 1.0, WIDTH)
    for i in range(3):
        np.testing.assert_array_equal(neftune(keys[i : i + 1], segments[:1], 1.0, WIDTH)[0], together[i])
    assert len({row.tobytes() for row in np.asarray(together)}) == 3
