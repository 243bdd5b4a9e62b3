"""The sweep: both models over every context window of a batch of responses, and the measures between them.

One forward pass covers all windows of a response. Logits exist for one chunk of windows at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxshift.config import Sweep
from jaxshift.data.batches import bucket
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process, replicas, sharding
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.shift import aligntds, records
from jaxshift.shift.contexts import Case, Comparison
from jaxshift.shift.measures import Measures, measures

BATCHES_A_PART = 16  # batches of responses behind one Parquet file, which is what a restart may lose


@dataclass(frozen=True)
class Pair:
    """How base and tuned parameters come to the sweep.

    Attributes:
      config: shape of both models.
      dtype: name of the dtype of activations.
      paired: True for a LoRA run: `params` is one tree of `tune.lora.merge(..., paired=True)`, and one forward pass
        reads every base weight once for both. False: `params` is (base, tuned), two trees.
    """

    config: LlamaConfig
    dtype: str
    paired: bool


Read = jax.Array | tuple[jax.Array, jax.Array]  # by both models, or by base and tuned


@functools.partial(jax.jit, static_argnames=('pair', 'chunk', 'top_k'))
def compare(pair: Pair, params, tokens: Read, windows: Read, emitted: jax.Array, *, chunk: int, top_k: int) -> Measures:
    """Measures at every window of a batch of responses.

    Args:
      pair: what `params` is.
      params: see `Pair`.
      tokens: [B, T] int32, prompt and response, padding behind; (base's, tuned's) where the prompts differ, which two
        trees alone can read.
      windows: [B, R] int32, the last position of each context window, that is the one before the emitted token;
        (base's, tuned's) as `tokens`.
      emitted: [B, R] int32, the tokens of the response.
      chunk: windows whose logits exist at the same time, on each device.
      top_k: see `measures`.

    Returns:
      `Measures` of [B, R], the lists [B, R, k]. Rows need nothing of each other.
    """
    dtype = jnp.dtype(pair.dtype)
    reads, ends = (each if isinstance(each, tuple) else (each, each) for each in (tokens, windows))
    places = [positions(read, end) for read, end in zip(reads, ends, strict=True)]
    if pair.paired:
        base_head = tuned_head = model.head(params)
        hidden = model.forward(pair.config, params, reads[1], places[1], dtype=dtype, paired=True)
        base, tuned = (_take(half, ends[1]) for half in hidden)
    else:
        base_head, tuned_head = (model.head(tree) for tree in params)
        base, tuned = (
            _take(model.forward(pair.config, tree, read, place, dtype=dtype), end)
            for tree, read, place, end in zip(params, reads, places, ends, strict=True)
        )

    rows, length = emitted.shape
    own = P(sharding.dividing(sharding.ROWS, rows), sharding.dividing('sequence', length))
    vocabulary = sharding.dividing('tensor', base_head.shape[1])
    words = P(None, vocabulary)  # of a vocabulary that is cut no device sees all
    by_chunks = functools.partial(_by_chunks, chunk, top_k, 'tensor' if vocabulary else None)
    measure = sharding.each_device(by_chunks, (own, own, words, words, own), own)
    return measure(base, tuned, base_head, tuned_head, emitted)


def _by_chunks(chunk: int, top_k: int, axis: str | None, base, tuned, base_head, tuned_head, emitted) -> Measures:
    """`Measures` of hidden states [B, R, D] under two heads [D, V], or [D, V / shards] of `axis`."""

    def one_chunk(base, tuned, emitted):
        return measures(logits(base, base_head), logits(tuned, tuned_head), emitted, top_k, axis)

    return in_chunks(one_chunk, chunk, base, tuned, emitted)


def in_chunks(work: Callable, chunk: int, *arrays: jax.Array):
    """`work` of arrays [B, R, ...], done on `chunk` positions at a time, so that what it makes on the way is small.

    `work` takes [B, width, ...] of each array; the arrays of the tree that it returns are put together again.
    """
    rows, length = arrays[0].shape[:2]
    width = max(1, min(length, chunk // rows))
    chunks = -(-length // width)
    out = jax.lax.map(lambda part: work(*part), tuple(_cut(x, chunks, width) for x in arrays))
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(rows, chunks * width, *x.shape[3:])[:, :length], out)


def positions(tokens: jax.Array, windows: jax.Array) -> jax.Array:
    """Positions [B, T], 0 in the padding as in training: dynamic scaling takes the greatest for a row's length."""
    place = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
    last = windows.max(axis=1, keepdims=True) + 1  # where the last emitted token stands
    return jnp.where(place <= last, place, 0)


def _take(hidden: jax.Array, windows: jax.Array) -> jax.Array:
    return jnp.take_along_axis(hidden, windows[..., None], axis=1)


def _cut(x: jax.Array, chunks: int, width: int) -> jax.Array:
    """[B, R, ...] to [chunks, B, width, ...]."""
    x = jnp.pad(x, [(0, 0), (0, chunks * width - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
    return jnp.moveaxis(x.reshape(x.shape[0], chunks, width, *x.shape[2:]), 1, 0)


def logits(hidden: jax.Array, head: jax.Array) -> jax.Array:
    """[..., V] float32 of hidden states [..., D] under a head [D, V]."""
    return jnp.einsum('...d,dv->...v', hidden, head.astype(hidden.dtype), preferred_element_type=jnp.float32)


def sweep(
    models: Callable[[Comparison], tuple[Pair, Any]],
    comparisons: Sequence[Comparison],
    run: str,
    settings: Sweep,
    texts: np.ndarray | None,
    mesh: Mesh,
    folder: Path,
    stop: process.StopSignal,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """Writes the token records of all comparisons to folder/part-*.parquet, in their order; returns the parts of all.

    Args:
      models: gives `pair` and `params` of `compare`; asked only where there is something to compute.
      comparisons: what to compare; one with two prompts a case (template other than matched) needs two trees.
      run: name of the run.
      settings: batch size, chunk, lists, thresholds and compat.
      texts: of `aligntds.text_ids` where `settings.compat` asks for its columns.
      mesh: rows of a batch are dealt over it.
      folder: takes the parts; those that are there already are not computed again. Processes compute all of them
        together and write them in turn, so a part is the same for any number of processes.
      stop: is asked after every part that is computed.
      progress: takes (windows done, windows in all).
    """
    windows = sum(len(case.response) for comparison in comparisons for case in comparison.cases)
    done = 0
    written: list[Path] = []
    there = process.by_leader('parts', lambda: [path.name for path in folder.glob('part-*.parquet')])
    for comparison in comparisons:
        cases = sorted(comparison.cases, key=lambda case: (len(case.response), len(case.prompt)))
        batches = [cases[start : start + settings.batch_size] for start in range(0, len(cases), settings.batch_size)]
        for first in range(0, len(batches), BATCHES_A_PART):
            part, index = batches[first : first + BATCHES_A_PART], len(written)
            written.append(records.part_path(folder, index))
            new = written[-1].name not in there
            if new:
                pair = params = None  # else the parameters of the step before stay beside the new ones
                pair, params = models(comparison)
                tables = [measure(pair, params, comparison, batch, run, settings, texts, mesh) for batch in part]
                if index % jax.process_count() == jax.process_index():
                    records.write_part(folder, index, pa.concat_tables(tables))
            done += sum(len(case.response) for batch in part for case in batch)
            progress(done, windows)
            if new:  # over parts that are there the leader would run far ahead of the others
                stop.check()
    process.together(f'sweep {run}')
    return written


def measure(
    pair: Pair, params, comparison: Comparison, batch: list[Case], run: str, settings: Sweep,
    texts: np.ndarray | None, mesh: Mesh,
) -> pa.Table:  # fmt: skip
    """The records of one batch of a comparison, the positions of each case in order; arguments as for `sweep`."""
    # Every batch has the same number of rows, which the devices can share; those that fill it up are thrown away.
    size = _whole(settings.batch_size, meshes.row_shards(mesh))
    parts = mesh.shape['sequence']
    emitted = np.zeros((size, _whole(bucket(max(len(case.response) for case in batch)), parts)), np.int32)
    real = np.zeros(emitted.shape, bool)
    for i, case in enumerate(batch):
        emitted[i, : len(case.response)] = case.response
        real[i, : len(case.response)] = True
    context = pair.config.context
    tokens, windows = laid_out(batch, [case.prompt for case in batch], emitted.shape, context, parts)
    rows: dict[str, Any] = {'tokens': tokens, 'windows': windows, 'emitted': emitted}
    if comparison.template != 'matched':
        tokens, windows = laid_out(batch, [case.base_prompt for case in batch], emitted.shape, context, parts)
        rows |= {'tokens': (tokens, rows['tokens']), 'windows': (windows, rows['windows'])}
    top_k = max(settings.top_k, aligntds.KEPT) if texts is not None else settings.top_k
    if settings.spmd == 'pmap':
        found = replicas.run(_on_each(pair, mesh, settings.chunk, top_k), params, rows, mesh)
    else:
        found = meshes.host(compare(pair, params, **meshes.put_rows(mesh, rows), chunk=settings.chunk, top_k=top_k))
    columns = {name: value[real] for name, value in found._asdict().items()}
    if texts is not None:
        ids, logprobs, tuned_ids, tuned_logprobs = (columns[name][:, : aligntds.KEPT] for name in records.LISTS)
        columns |= aligntds.columns(ids, logprobs, tuned_ids, tuned_logprobs, texts)
        columns |= {name: columns[name][:, : settings.top_k] for name in records.LISTS}
    return records.table(
        run, comparison.context, comparison.template, comparison.context_length,
        [case.example_id for case in batch for _ in case.response],
        {'token_id': emitted[real], **columns},
        (settings.marginal_above, settings.shifted_above),
        positions=np.concatenate([np.arange(len(case.response)) for case in batch]),
        step=comparison.step,
    )  # fmt: skip


@functools.lru_cache
def _on_each(pair: Pair, mesh: Mesh, chunk: int, top_k: int) -> Callable:
    """`compare` for `replicas.run`."""
    each = functools.partial(compare, pair, chunk=chunk, top_k=top_k)
    return replicas.mapped(lambda params, rows: each(params, **rows), mesh)


def laid_out(
    batch: list[Case], prompts: list[list[int]], shape: tuple[int, ...], context: int, parts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts with their responses [B, T], T in equal parts, and the window of each token of `shape` [B, R]."""
    longest = max(len(prompt) + len(case.response) for prompt, case in zip(prompts, batch, strict=True))
    length = _whole(max(longest, min(bucket(longest), context)), parts)
    tokens, windows = np.zeros((shape[0], length), np.int32), np.zeros(shape, np.int32)
    for i, (prompt, case) in enumerate(zip(prompts, batch, strict=True)):
        tokens[i, : len(prompt) + len(case.response)] = prompt + case.response
        windows[i, : len(case.response)] = np.arange(len(case.response)) + len(prompt) - 1
    return tokens, windows


def _whole(size: int, parts: int) -> int:
    """The least size from this one on that can be cut into equal parts."""
    return size + -size % parts
