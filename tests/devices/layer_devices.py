"""Work layer by layer on eight devices, for test_layers.py: `python layer_devices.py OUT.json`."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift import config
from jaxshift.causes import weights
from jaxshift.devices import layers, mesh, sharding

LAYERS, INPUTS, OUTPUTS = 11, 64, 96


def main(out):
    laid = mesh.make(config.Mesh(data=1, fsdp=4, tensor=2))
    rng = np.random.default_rng(0)
    base, tuned = rng.normal(size=(2, LAYERS, INPUTS, OUTPUTS)).astype(np.float32)
    tree = {'layers': {'q_proj': tuned}}
    placed = jax.device_put(tree, sharding.shardings(laid, tree))['layers']['q_proj']
    with jax.set_mesh(laid):
        found = layers.each_layer(weights.spectrum, laid, jnp.asarray(base), placed)
        work = layers._program(weights.norm, laid).lower(jnp.arange(8), placed).compile()
    facts = {
        'spectrum': found.tolist(),
        'wanted': np.linalg.svd(tuned - base, compute_uv=False).tolist(),
        'bytes': work.memory_analysis().temp_size_in_bytes,
        'layer': 4 * INPUTS * OUTPUTS,
    }
    with open(out, 'w') as file:
        json.dump(facts, file)


if __name__ == '__main__':
    main(sys.argv[1])
