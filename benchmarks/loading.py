"""Host memory of loading a sharded checkpoint of random numbers onto all devices, each with its own part.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m benchmarks.loading FOLDER 4 [int8|nf4]

writes 4 GiB into FOLDER, reads them and prints one JSON object, in GiB: `arrays`, the parameters themselves (on a CPU
they are host memory too); `above`, the greatest anonymous resident memory beyond what there was before and the arrays;
and `seconds`. `above` must not grow with the model; exit code 1 where it is more than 0.6.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from jaxshift.config import Mesh
from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.llama import model, quantised
from jaxshift.llama.config import LlamaConfig, to_hf
from jaxshift.store import paths
from jaxshift.weights import loading, names, safetensors

GIB = 2**30
LIMIT = 0.6  # GiB


def write(folder: Path, size: float) -> LlamaConfig:
    """A bfloat16 model of about `size` GiB, a file a layer."""
    draw = np.random.default_rng(0)
    files: dict[str, str] = {}
    layers = round((size * GIB - 67e6) / 103e6)
    config = LlamaConfig(8192, 2048, 5632, layers, 16, 16, 128, 4096, 1e-5, 1e4)
    rows = names.rows(model.shapes(config), str(folder))

    def random(row: names.Row, shape: tuple[int, ...]) -> np.ndarray:
        # Random bits but one, which keeps them below 2.
        bits = draw.integers(0, 2**16, shape[::-1] if row.transposed else shape, np.uint16) & 0xBFFF
        return bits.view(ml_dtypes.bfloat16)

    for layer in (None, *range(layers)):
        part = {
            row.hf.format(layer): random(row, leaf.shape if layer is None else leaf.shape[1:])
            for row, leaf in rows
            if row.stacked == (layer is not None)
        }
        name = f'model-{0 if layer is None else layer + 1:05d}-of-{layers:05d}.safetensors'
        save_file(part, folder / name, {'format': 'pt'})
        files |= dict.fromkeys(part, name)
    paths.write_json(folder / safetensors.INDEX, {'weight_map': files})
    paths.write_json(folder / 'config.json', to_hf(config, 'bfloat16'))
    return config


def anonymous() -> int:
    """Anonymous resident memory of this process, in bytes."""
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('RssAnon'))
    return int(line.split()[1]) * 1024


class Peak(threading.Thread):
    """Samples the anonymous memory every few milliseconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.greatest = anonymous()

    def run(self) -> None:
        while True:
            self.greatest = max(self.greatest, anonymous())
            time.sleep(0.005)


def main(folder: str, size: str, quantize: str = '') -> int:
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    config = write(path, float(size))
    shapes = model.shapes(config, jax.numpy.bfloat16)
    mesh = meshes.make(Mesh(data=1, fsdp=-1))
    places = sharding.shardings(mesh, quantised.shapes(shapes, quantize))
    jax.block_until_ready(jax.device_put(np.zeros(8)))
    peak, start = Peak(), time.monotonic()
    peak.start()
    params = loading.load(safetensors.Folder(path), shapes, places, quantize)
    seconds = time.monotonic() - start
    held = sum(x.addressable_shards[0].data.nbytes * len(x.addressable_shards) for x in jax.tree.leaves(params))
    found = {'arrays': held / GIB, 'above': (peak.greatest - peak.before - held) / GIB, 'seconds': seconds}
    print(json.dumps({'devices': jax.device_count()} | {name: round(value, 3) for name, value in found.items()}))
    return 1 if found['above'] > LIMIT else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
