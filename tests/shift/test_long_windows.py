"""The sweep of configs/sweep_70b_128k.py, compiled for a TPU pod that is not here."""

import re

import jax
import jax.numpy as jnp
import pytest
from commandline import ROOT

from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.llama import model
from jaxshift.llama.config import Llama3Scaling, LlamaConfig
from jaxshift.shift.sweep import Pair, compare
from jaxshift.tune import lora
from jaxshift.tune.step import lora_spec

LLAMA = LlamaConfig(  # Llama-3.1-70B
    128_256, 8192, 28_672, 80, 64, 8, 128, 131_072, 1e-5, 5e5, rope_scaling=Llama3Scaling(8.0, 1.0, 4.0, 8192)
)
CHIP = 95 * 2**30  # bytes of a v5p


@pytest.fixture
def compiled(tpu_devices):
    """Compiles the sweep's step of the config for windows of some length, from shapes alone."""
    space: dict = {}
    exec((ROOT / 'configs/sweep_70b_128k.py').read_text(encoding='utf-8'), space)
    asked = space['get_config']()
    mesh = meshes.make(asked.mesh, tpu_devices('v5p:4x4x4'))
    spec = lora_spec(asked.runs['lora'])
    base = sharding.abstract(mesh, model.shapes(LLAMA, jnp.dtype(asked.base.dtype)))
    adapter = jax.eval_shape(lambda base: lora.init(jax.random.key(0), base, spec), base)
    adapter = sharding.abstract(mesh, adapter)
    place = jax.NamedSharding(mesh, jax.P(sharding.ROWS, 'sequence'))

    def step(base, adapter, tokens, windows, emitted):
        pair, params = Pair(LLAMA, asked.base.dtype, paired=True), lora.merge(base, adapter, spec, paired=True)
        return compare(pair, params, tokens, windows, emitted, chunk=asked.sweep.chunk, top_k=asked.sweep.top_k)

    def make(length):
        sizes = (length, *[asked.respond.max_new_tokens] * 2)
        rows = [jax.ShapeDtypeStruct((asked.sweep.batch_size, n), jnp.int32, sharding=place) for n in sizes]
        with jax.set_mesh(mesh):
            return jax.jit(step).lower(base, adapter, *rows).compile()

    return make


def test_memory_grows_with_the_windows_and_131_072_tokens_fit_a_v5p(compiled):
    short, long = compiled(32_768), compiled(131_072)
    memory = long.memory_analysis()
    assert memory.temp_size_in_bytes <= 4 * short.memory_analysis().temp_size_in_bytes
    assert memory.argument_size_in_bytes + memory.temp_size_in_bytes < CHIP / 4
    text = long.as_text()
    assert text.count('custom_call_target="tpu_custom_call"') == 1  # of the scan over layers
    assert not re.search(r'\b(131072|32768),(131072|32768)\b', text)
