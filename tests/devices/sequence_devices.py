"""Attention on meshes of virtual devices and on one of them, both in a file; a program of the tests.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python sequence_devices.py OUT.npz
"""

import functools
import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention

from jaxshift.config import Mesh
from jaxshift.devices import mesh as meshes
from jaxshift.llama import attention, kernels, sequence
from jaxshift.llama.kernels import Place

CUT = ('sequence 2', 'sequence 3', 'sequence 4', 'sequence 8', 'fsdp 2, tensor 2, sequence 2')
# Do not divide two rows and a head; have pieces that are too short, and more devices than rows, or as many.
WHOLE = ('data 4, tensor 2', 'sequence 8', 'sequence 2')
arrays: dict[str, np.ndarray] = {}


def draw(length, heads=(4, 2, 2), size=8):
    """Queries, keys and values of two rows, twice (base and tuned), and segments that end at odd places."""
    random = np.random.default_rng(0)
    q, k, v = (jnp.asarray(random.normal(0, 2, (2, 2, length, each, size)), jnp.float32) for each in heads)
    return q, k, v, jnp.asarray(np.sort(random.integers(1, 4, (2, length)), axis=1), jnp.int32)


def attend(name, inputs, window, packed):
    """Keeps result and gradients of attention on the mesh that a name begins with."""
    *qkv, segments = inputs
    mix = np.random.default_rng(1).normal(size=qkv[0].shape).astype(np.float32)

    def score(qkv):
        out = attention.causal(*qkv, segments if packed else None, window)
        return (out * mix).sum(), out

    sizes = {axis: int(size) for axis, size in re.findall(r'(\w+) (\d)', name.partition(':')[0])}
    mesh = meshes.make(Mesh(**{'data': 1} | sizes), jax.devices()[: math.prod(sizes.values())])
    with jax.set_mesh(mesh):
        gradient, out = jax.jit(jax.grad(score, has_aux=True))(tuple(qkv))
    arrays[f'{name}, result'] = np.asarray(out)
    arrays.update({f'{name}, gradient of {of}': np.asarray(x) for of, x in zip('qkv', gradient, strict=True)})


if __name__ == '__main__':
    attention.BLOCK, sequence.PIECE = 16, 2
    inputs = draw(150)  # padded to 160, 162 and 256
    for name in ('one', *CUT):
        for window, packed in ((None, False), (70, True)):
            attend(f'{name}: window {window}, segments {packed}', inputs, window, packed)
    for name in ('one', *WHOLE):
        attend(f'{name}: short', draw(7, heads=(3, 1, 1)), 5, True)
    kernels.here = lambda: Place('tpu', alone=bool(jax.sharding.get_abstract_mesh().manual_axes))
    library = splash_attention.make_splash_mha
    splash_attention.make_splash_mha = functools.partial(library, interpret=True)
    kernels.SPLASH_BLOCK = sequence.PIECE = 128
    for name in ('one', 'sequence 2'):
        attend(f'{name}: splash', draw(1000), 200, True)
    np.savez(sys.argv[1], **arrays)
