"""`--mode=verify_export`: the exported files read again, and how far their logits are from those of the run."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxshift import outward, tuning
from jaxshift.data.batches import bucket
from jaxshift.devices import mesh as meshes
from jaxshift.devices import process, sharding
from jaxshift.errors import InputError
from jaxshift.export import files
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.respond import responses
from jaxshift.shift import contexts
from jaxshift.shift.measures import measures
from jaxshift.shift.sweep import laid_out, positions
from jaxshift.store import paths
from jaxshift.study import Study
from jaxshift.terminal import Bar
from jaxshift.tune import lora
from jaxshift.weights.source import open_adapter, open_source

CHUNK = 64  # positions whose logits exist at the same time
ROWS = 8  # responses that are read at the same time

Params = Callable[[], dict]


def verify_all(study: Study) -> None:
    """Writes runs/RUN/export.json, and says what is in it.

    Raises:
      InputError: a run is not exported, a file of its export is damaged, or it has no responses.
    """
    for name in study.only:
        path = study.workdir.run(name) / 'export.json'
        settings = outward.of_verification(study, name)
        work, clear = functools.partial(_verify, study, name, path), functools.partial(path.unlink, missing_ok=True)
        study.ledger.do('verify_export', name, settings, work, clear, shared=True)
        read = process.by_leader(f'distances of {name}', functools.partial(_read, path))
        for item in read['distances']:
            study.say(
                f'{name}, {item["between"][0]} and {item["between"][1]}: greatest |dlogit| '
                f'{item["greatest_logit_difference"]:.3g}, mean KL {item["mean_kl"]:.3g} nats, same top-1 '
                f'{item["same_top_1"]:.2f} % of {item["positions"]:,} positions'
            )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding='utf-8'))


def _verify(study: Study, name: str, path: Path) -> list[Path]:
    source = study.workdir.responses(name)
    rows = responses.read(source)
    responses.check_tokens(rows, source, study.base.config)
    cases = contexts.cases(rows, None, study.base.config.context)[0][: study.experiment.export.verify_responses]
    if not cases:
        raise InputError(f'{source}: no response has a token, so there is nothing to compare; answer other prompts')
    hidden, heads = {}, {}
    with Bar(f'verify_export {name}', brief=True) as bar:
        for kind, params in bar.over([*_models(study, name)]):
            tree = params()
            hidden[kind] = hidden_states(study, tree, cases)
            heads[kind] = model.head(tree)
            del tree
    found = [
        {'between': [first, second], **distance(hidden[first], hidden[second], heads[first], heads[second])}
        for first, second in itertools.combinations(hidden, 2)
    ]
    answer = {
        'responses': len(cases),
        'stored': study.experiment.export.dtype,
        'arithmetic': 'float32',
        'kl': 'of the second from the first, nats',
        'distances': found,
    }
    process.by_leader(f'write {path.name} of {name}', lambda: paths.write_json(path, answer))
    return [path]


def _models(study: Study, name: str) -> Iterator[tuple[str, Params]]:
    """The run as it is compared, and what its files give, one after another."""
    asked = study.experiment.export
    lazy = functools.partial(tuning.tuned, study, name)
    is_lazy = tuning.is_lazy(study, name)
    yield 'lazy' if is_lazy else 'run', lazy
    for folder in files.folders(study, name):
        if folder.name == 'adapter':
            yield 'adapter', functools.partial(_adapted, study, folder)
        else:
            if is_lazy:
                yield 'folded', lambda: lora.fold(lazy(), asked.dtype)
            yield 're-read', functools.partial(_reread, study, folder)


def _adapted(study: Study, folder: Path) -> dict:
    found = open_adapter(f'dir:{folder}', study.base.config)
    if found is None:
        raise InputError(f'{folder}: holds no adapter; export it again')
    terms = found.terms()
    return lora.merge(study.base_params, jax.device_put(terms, sharding.shardings(study.mesh, terms)), found.spec)


def _reread(study: Study, folder: Path) -> dict:
    return study.load(open_source(f'dir:{folder}'), study.experiment.export.dtype)


def hidden_states(study: Study, params: dict, cases: list[contexts.Case]) -> np.ndarray:
    """Hidden states [N, D] behind every token of the responses, one response after another."""
    parts = study.mesh.shape['sequence']
    shape = ROWS, bucket(max(len(case.response) for case in cases))
    config, found = study.base.config, []
    for start in range(0, len(cases), ROWS):
        batch = cases[start : start + ROWS]
        tokens, windows = laid_out(batch, [case.prompt for case in batch], shape, config.context, parts)
        hidden = meshes.host(states(config, params, tokens, windows))
        found += [row[: len(case.response)] for row, case in zip(hidden, batch, strict=False)]
    return np.concatenate(found)


@functools.partial(jax.jit, static_argnames='config')
def states(config: LlamaConfig, params: dict, tokens: jax.Array, windows: jax.Array) -> jax.Array:
    """Hidden states [B, R, D], float32, of the windows [B, R] of tokens [B, T]."""
    with jax.default_matmul_precision('highest'):  # some devices multiply float32 in fewer bits unless they are told
        hidden = model.forward(config, params, tokens, positions(tokens, windows), dtype=jnp.float32)
    return jnp.take_along_axis(hidden, windows[..., None], axis=1)


def distance(first: np.ndarray, second: np.ndarray, first_head, second_head) -> dict[str, Any]:
    """How far two models are apart.

    Args:
      first, second: hidden states [N, D] of the same windows, float32.
      first_head, second_head: [D, V].

    Returns:
      Positions N, the greatest difference of a logit, the mean KL(second || first) in nats, and the share of windows
      with one likeliest token, in percent.
    """
    chunks = [
        meshes.host(_chunk(_filled(first[at : at + CHUNK]), _filled(second[at : at + CHUNK]), first_head, second_head))
        for at in range(0, len(first), CHUNK)
    ]
    greatest, kl, same = (np.concatenate(each)[: len(first)] for each in zip(*chunks, strict=True))
    return {
        'positions': len(first),
        'greatest_logit_difference': float(greatest.max()),
        'mean_kl': float(kl.astype(np.float64).mean()),
        'same_top_1': 100 * float(same.mean()),
    }


def _filled(part: np.ndarray) -> np.ndarray:
    """As many rows as every chunk, so that one program serves all."""
    return np.pad(part, ((0, CHUNK - len(part)), (0, 0)))


@jax.jit
def _chunk(first, second, first_head, second_head):
    one, other = (
        jnp.matmul(hidden, head.astype(jnp.float32), precision='highest')
        for hidden, head in ((first, first_head), (second, second_head))
    )
    found = measures(one, other, jnp.zeros(len(one), jnp.int32), top_k=1)
    return abs(one - other).max(axis=-1), found.kl_tuned_base, found.base_argmax_id == found.tuned_argmax_id
