"""Attention on meshes of virtual devices and on one of them, both in a file; a program of the tests.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python sequence_devices.py OUT.npz
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention

from jaxshift.config import Mesh
from jaxshift.devices import mesh as meshes
from jaxshift.llama import attention, kernels, sequence
from jaxshift.llama.kernels import Place

LAYOUTS = {
    'one': Mesh(data=1),
    'sequence 2': Mesh(data=1, sequence=2),
    'sequence 4': Mesh(data=1, sequence=4),
    'sequence 8': Mesh(data=1, sequence=8),
    'fsdp 2, tensor 2, sequence 2': Mesh(data=1, fsdp=2, tensor=2, sequence=2),
    'data 4, tensor 2, which divide nothing': Mesh(data=4, tensor=2),
}
arrays: dict[str, np.ndarray] = {}


def draw(length, heads=(4, 2, 2), size=8):
    """Queries, keys and values of two rows, twice (base and tuned), and segments that end at odd places."""
    random = np.random.default_rng(0)
    q, k, v = (jnp.asarray(random.normal(0, 2, (2, 2, length, each, size)), jnp.float32) for each in heads)
    return q, k, v, jnp.asarray(np.sort(random.integers(1, 4, (2, length)), axis=1), jnp.int32)


def attend(name, layout, inputs, window, packed):
    """Result and gradients on a mesh, by name."""
    *qkv, segments = inputs
    mix = np.random.default_rng(1).normal(size=qkv[0].shape).astype(np.float32)

    def score(qkv):
        out = attention.causal(*qkv, segments if packed else None, window)
        return (out * mix).sum(), out

    sizes = [getattr(layout, axis) for axis in meshes.AXES]
    with jax.set_mesh(meshes.make(layout, jax.devices()[: np.prod(sizes)])):
        gradient, out = jax.jit(jax.grad(score, has_aux=True))(tuple(qkv))
    arrays[f'{name} result'] = np.asarray(out)
    arrays.update({f'{name} gradient of {of}': np.asarray(x) for of, x in zip('qkv', gradient, strict=True)})


if __name__ == '__main__':
    attention.BLOCK, sequence.PIECE = 8, 4
    inputs = draw(300)  # padded to 304, 320 and 512
    odd = draw(20, heads=(3, 1, 1))
    for name, layout in LAYOUTS.items():
        for window, packed in ((None, False), (70, True)):
            attend(f'{name}: {window} {packed}', layout, inputs, window, packed)
        attend(f'{name}: short', layout, odd, 7, True)
    kernels.here = lambda: Place('tpu', alone=bool(jax.sharding.get_abstract_mesh().manual_axes))
    library = splash_attention.make_splash_mha
    splash_attention.make_splash_mha = functools.partial(library, interpret=True)
    kernels.SPLASH_BLOCK = sequence.PIECE = 128
    inputs = draw(1500)
    for name in ('one', 'sequence 2'):
        attend(f'{name}: splash', LAYOUTS[name], inputs, 200, True)
    np.savez(sys.argv[1], **arrays)
