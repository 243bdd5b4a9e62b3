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

from jaxshift.config import Sweep
from jaxshift.data.batches import bucket
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.shift import records
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


@functools.partial(jax.jit, static_argnames=('pair', 'chunk', 'top_k'))
def compare(
    pair: Pair, params, tokens: jax.Array, windows: jax.Array, emitted: jax.Array, *, chunk: int, top_k: int
) -> Measures:
    """Measures at every window of a batch of responses.

    Args:
      pair: what `params` is.
      params: see `Pair`.
      tokens: [B, T] int32, prompt and response, padding behind.
      windows: [B, R] int32, the last position of each context window, that is the one before the emitted token.
      emitted: [B, R] int32, the tokens of the response.
      chunk: windows whose logits exist at the same time.
      top_k: see `measures`.

    Returns:
      `Measures` of [B, R], the lists [B, R, k]. Rows need nothing of each other.
    """
    dtype = jnp.dtype(pair.dtype)
    if pair.paired:
        base_head = tuned_head = model.head(params)
        hidden = model.forward(pair.config, params, tokens, dtype=dtype, paired=True)
        base, tuned = (_take(half, windows) for half in hidden)
    else:
        base_head, tuned_head = (model.head(tree) for tree in params)
        base, tuned = (_take(model.forward(pair.config, tree, tokens, dtype=dtype), windows) for tree in params)

    def one_chunk(part):
        base, tuned, emitted = part
        return measures(_logits(base, base_head), _logits(tuned, tuned_head), emitted, top_k)

    rows, length = windows.shape
    width = max(1, min(length, chunk // rows))
    chunks = -(-length // width)
    cut = functools.partial(_cut, chunks=chunks, width=width)
    out = jax.lax.map(one_chunk, (cut(base), cut(tuned), cut(emitted)))
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(rows, chunks * width, *x.shape[3:])[:, :length], out)


def _take(hidden: jax.Array, windows: jax.Array) -> jax.Array:
    return jnp.take_along_axis(hidden, windows[..., None], axis=1)


def _cut(x: jax.Array, chunks: int, width: int) -> jax.Array:
    """[B, R, ...] to [chunks, B, width, ...]."""
    x = jnp.pad(x, [(0, 0), (0, chunks * width - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
    return jnp.moveaxis(x.reshape(x.shape[0], chunks, width, *x.shape[2:]), 1, 0)


def _logits(hidden: jax.Array, head: jax.Array) -> jax.Array:
    return jnp.einsum('...d,dv->...v', hidden, head.astype(hidden.dtype), preferred_element_type=jnp.float32)


def sweep(
    pair: Pair,
    params,
    responses: Sequence[dict[str, Any]],
    run: str,
    settings: Sweep,
    mesh: Mesh,
    folder: Path,
    stop: process.StopSignal,
    progress: Callable[[int, int], None],
) -> None:
    """Writes the token records of a run's own responses, windows with the whole prompt, to folder/part-*.parquet.

    Args:
      pair: see `compare`.
      params: see `Pair`.
      responses: objects of responses.jsonl; one without tokens gives no rows.
      run: name of the run.
      settings: batch size, chunk, lists and thresholds.
      mesh: rows of a batch are dealt over it.
      folder: takes the parts; those that are there already are not computed again.
      stop: is asked after every part.
      progress: takes (windows done, windows in all).
    """
    rows = sorted(responses, key=lambda row: (len(row['token_ids']), len(row['prompt_token_ids'])))
    rows = [row for row in rows if row['token_ids']]
    windows = sum(len(row['token_ids']) for row in rows)
    done = 0
    batches = [rows[start : start + settings.batch_size] for start in range(0, len(rows), settings.batch_size)]
    for index, first in enumerate(range(0, len(batches), BATCHES_A_PART)):
        part = batches[first : first + BATCHES_A_PART]
        if not records.part_path(folder, index).exists():
            tables = [_measure(pair, params, batch, run, settings, mesh) for batch in part]
            records.write_part(folder, index, pa.concat_tables(tables))
        done += sum(len(row['token_ids']) for batch in part for row in batch)
        progress(done, windows)
        stop.check()


def _measure(pair: Pair, params, batch: list[dict[str, Any]], run: str, settings: Sweep, mesh: Mesh) -> pa.Table:
    """The records of one batch, its positions in order."""
    length = bucket(max(len(row['prompt_token_ids']) + len(row['token_ids']) for row in batch))
    longest = bucket(max(len(row['token_ids']) for row in batch))
    # Every batch has the same number of rows, which the devices can share; those that fill it up are thrown away.
    size = settings.batch_size + -settings.batch_size % meshes.row_shards(mesh)
    tokens = np.zeros((size, length), np.int32)
    windows, emitted = (np.zeros((size, longest), np.int32) for _ in range(2))
    real = np.zeros((size, longest), bool)
    for i, row in enumerate(batch):
        prompt, response = row['prompt_token_ids'], row['token_ids']
        tokens[i, : len(prompt) + len(response)] = prompt + response
        windows[i, : len(response)] = np.arange(len(response)) + len(prompt) - 1
        emitted[i, : len(response)] = response
        real[i, : len(response)] = True
    arrays = meshes.put_rows(mesh, {'tokens': tokens, 'windows': windows, 'emitted': emitted})
    found = compare(pair, params, **arrays, chunk=settings.chunk, top_k=settings.top_k)
    columns = {name: np.asarray(value)[real] for name, value in found._asdict().items()}
    return records.table(
        run, 'own', 'matched', -1,
        [row['example_id'] for row in batch for _ in row['token_ids']],
        {'token_id': emitted[real], **columns},
        (settings.marginal_above, settings.shifted_above),
        positions=np.concatenate([np.arange(len(row['token_ids'])) for row in batch]),
    )  # fmt: skip
