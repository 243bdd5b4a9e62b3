"""The steps of a run as abstract programs: jitted functions with the shapes and layouts of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxshift.config import Experiment, Run
from jaxshift.data.batches import bucket
from jaxshift.devices import mesh as meshes
from jaxshift.devices import sharding
from jaxshift.llama import flops, model, quantised
from jaxshift.llama.config import LlamaConfig
from jaxshift.respond import decode
from jaxshift.shift import sweep
from jaxshift.tune import lora, train
from jaxshift.tune.step import Recipe, lora_spec, recipe, train_step


@dataclass(frozen=True)
class Step:
    """One program of a run.

    Attributes:
      name: train, prefill, decode or sweep.
      shape: what it works on, for people.
      function: a jitted function.
      arguments: it is called with: arrays as `jax.ShapeDtypeStruct` with their layout.
      options: static keyword arguments.
      flops: of the model in one call, over all devices.
      repeated: FLOPs of what it computes a second time.
      reads: bytes that every device reads: its tensor shard of all weights (fsdp gathers them) in every pass over
        them, and the optimizer's state or the cache.
      tokens: it works through, padding included.
    """

    name: str
    shape: str
    function: Any
    arguments: tuple
    options: dict[str, Any]
    flops: float
    repeated: float
    reads: float
    tokens: int

    def lower(self):
        return self.function.lower(*self.arguments, **self.options)


def base(experiment: Experiment, config: LlamaConfig, mesh: Mesh) -> dict:
    """The frozen base as it lies on the mesh; the one place that knows in which form it is kept."""
    asked = experiment.base
    whole = model.shapes(config, jnp.dtype(asked.dtype))
    return sharding.abstract(mesh, quantised.shapes(whole, asked.quantize, asked.double_quantization))


def of_run(experiment: Experiment, name: str, config: LlamaConfig, mesh: Mesh) -> Iterator[Step]:
    """The steps of one run, in the order in which it takes them."""
    run = experiment.runs[name]
    if run.method != 'given':
        train.check(run, mesh, f'runs.{name}', experiment.data.max_length)
        yield training(experiment, run, config, mesh)
    yield from _decoding(experiment, run, config, mesh)
    yield _sweep(experiment, run, config, mesh)


def trained(shape: Recipe, mesh: Mesh) -> tuple[dict, Any]:
    """What a run trains, with the optimizer's state: what a checkpoint holds."""
    values = train.shapes(shape)
    state = jax.eval_shape(shape.optimizer.init, values)
    return sharding.abstract(mesh, values), sharding.abstract(mesh, state)


def adapter_size(run: Run, config: LlamaConfig) -> int | None:
    """Numbers that a LoRA run trains; None for other runs."""
    return lora.size(model.shapes(config), lora_spec(run)) if run.method == 'lora' else None


def training(experiment: Experiment, run: Run, config: LlamaConfig, mesh: Mesh) -> Step:
    shape = recipe(run, config, experiment.base.dtype)
    values, state = trained(shape, mesh)
    frozen = base(experiment, config, mesh) if shape.spec else None
    rows, length = run.batch_size, min(experiment.data.max_length, config.context)
    batch = {name: _rows(mesh, rows, length) for name in ('tokens', 'positions', 'segments')}
    batch['trained'] = _rows(mesh, rows, length, bool)
    key = jax.eval_shape(lambda: jax.random.key(0))
    lengths = np.full(rows, length)
    again = flops.recomputed(config, lengths, run.remat)
    weights = frozen or model.shapes(config, jnp.dtype(experiment.base.dtype))  # the least: cast, then gathered
    return Step(
        'train',
        f'{shape.micro_batches} x {rows // shape.micro_batches} x {length:,} tokens',
        train_step(shape, mesh),
        (values, state, frozen, batch, jax.ShapeDtypeStruct((), np.float32), key),
        {},
        flops.train(config, lengths, rows * length, adapter_size(run, config)),
        again,
        shape.micro_batches * (2 + (again > 0)) * _gathered(weights, mesh) + device_bytes(state),
        rows * length,
    )


def _decoding(experiment: Experiment, run: Run, config: LlamaConfig, mesh: Mesh) -> Iterator[Step]:
    """Reading the prompts, and all new tokens after them; greedy."""
    asked, adapter = experiment.respond, adapter_size(run, config) or 0
    rows, new = asked.batch_size, asked.max_new_tokens
    prompt = bucket(_longest_prompt(experiment, config))
    decoder = decode.Decoder(config, experiment.base.dtype, config.eos_token_id or (0,), new)
    params = tuned(experiment, run, config, mesh)
    tokens = jax.ShapeDtypeStruct((rows, prompt), np.int32)
    valid, room = jax.ShapeDtypeStruct((rows, prompt), bool), jax.ShapeDtypeStruct((rows,), np.int32)
    arguments = (decoder, params, tokens, valid, room, None)
    with jax.set_mesh(mesh):
        state = sharding.abstract(mesh, decode.prefill.eval_shape(*arguments))
    yield Step(
        'prefill', f'{rows} x {prompt:,} tokens', decode.prefill, arguments, {},
        flops.forward(config, np.full(rows, prompt), rows, adapter), 0.0, _gathered(params, mesh), rows * prompt,
    )  # fmt: skip
    yield Step(
        'decode', f'{rows} rows, a token, {prompt + new:,} slots', decode.decode, (decoder, params, state), {},
        flops.decode(config, rows, prompt + new, adapter), 0.0, _gathered(params, mesh) + device_bytes(state), rows,
    )  # fmt: skip


def _sweep(experiment: Experiment, run: Run, config: LlamaConfig, mesh: Mesh) -> Step:
    """Both models over prompts and responses of the greatest length."""
    asked, new = experiment.sweep, experiment.respond.max_new_tokens
    rows = asked.batch_size + -asked.batch_size % meshes.row_shards(mesh)
    length = _longest_prompt(experiment, config) + new
    length, windows = max(length, min(bucket(length), config.context)), bucket(new)
    length, windows = (each + -each % mesh.shape['sequence'] for each in (length, windows))
    paired = run.method == 'lora' and set(asked.templates) == {'matched'}
    params = tuned(experiment, run, config, mesh, paired)
    arguments = (
        sweep.Pair(config, experiment.base.dtype, paired),
        params if paired else (base(experiment, config, mesh), params),
        _rows(mesh, rows, length),
        _rows(mesh, rows, windows),
        _rows(mesh, rows, windows),
    )
    lengths = np.full(rows, length)
    work = flops.forward(config, lengths, rows * windows)
    work += flops.forward(config, lengths, rows * windows, adapter_size(run, config) or 0)
    return Step(
        'sweep', f'{rows} x {length:,} tokens, {windows:,} windows', sweep.compare, arguments,
        {'chunk': asked.chunk, 'top_k': asked.top_k}, work, 0.0, _gathered(arguments[1], mesh), rows * length,
    )  # fmt: skip


def _longest_prompt(experiment: Experiment, config: LlamaConfig) -> int:
    """Tokens of the longest prompt that leaves room for a response; those of a file of their own may be so long."""
    room = config.context - experiment.respond.max_new_tokens
    return max(1, room if experiment.prompts.source else min(experiment.data.max_length, room))


def tuned(experiment: Experiment, run: Run, config: LlamaConfig, mesh: Mesh, paired: bool = False) -> dict:
    """The tuned parameters; those of a run that is given are taken for whole ones, kept as the base is."""
    whole = base(experiment, config, mesh)
    if run.method != 'lora':
        return whole
    spec = lora_spec(run)
    adapter = trained(recipe(run, config, experiment.base.dtype), mesh)[0]
    merged = lora.merge(whole, adapter, spec, paired=paired)
    # The scales are arrays, made anew by every merge.
    return jax.tree.map(lambda leaf: _shape(leaf, mesh), merged)


def _shape(leaf, mesh: Mesh) -> jax.ShapeDtypeStruct:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, PartitionSpec()))


def _rows(mesh: Mesh, rows: int, length: int, dtype: Any = np.int32) -> jax.ShapeDtypeStruct:
    """Rows as `devices.mesh.put_rows` deals them."""
    place = NamedSharding(mesh, PartitionSpec(sharding.ROWS, 'sequence'))
    return jax.ShapeDtypeStruct((rows, length), dtype, sharding=place)


def _gathered(weights, mesh: Mesh) -> float:
    """Bytes of weights that a device reads in one pass."""
    return whole_bytes(weights) / mesh.shape['tensor']


def device_bytes(tree) -> int:
    """Bytes of the arrays of a tree on one device."""
    return sum(_bytes(leaf, shard=True) for leaf in jax.tree.leaves(tree))


def whole_bytes(tree) -> int:
    """Bytes of the arrays of a tree over all devices, each part counted once."""
    return sum(_bytes(leaf, shard=False) for leaf in jax.tree.leaves(tree))


def _bytes(leaf, shard: bool) -> int:
    if not isinstance(leaf, jax.ShapeDtypeStruct) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return 0  # the settings of a step, and its key
    sizes = leaf.shape if not (shard and leaf.sharding) else leaf.sharding.shard_shape(leaf.shape)
    bits: Callable = lambda dtype: 4 if 'int4' in dtype.name else 8 * dtype.itemsize  # noqa: E731
    return int(np.prod(sizes, dtype=np.int64)) * bits(jnp.dtype(leaf.dtype)) // 8
