"""What tuning did to every weight of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jaxshift import depends, tuning
from jaxshift.causes import weights
from jaxshift.depends import Settings
from jaxshift.devices.layers import each_layer
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.llama import model
from jaxshift.llama.linear import LoRA
from jaxshift.study import Study
from jaxshift.terminal import Bar
from jaxshift.weights import names

Row = dict[str, Any]
_LONG = ('spectrum', 'cosines')  # columns of the table alone


def _settings(study: Study, run: str) -> Settings:
    asked = study.experiment.causes
    return {
        'base': study.base.fingerprint,
        'model': depends.model_key(study, run),
        **study.precision,
        'directions': asked.weights_directions,
        'epsilon': asked.weights_epsilon,
        'share': weights.SHARE,
    }


def _work(study: Study, run: str) -> list[Path]:
    base, tuned = tuning.both(study, run)
    rows, unchanged = [], 0
    with Bar(f'weights {run}') as bar:
        for number, row in enumerate(names.TABLE, start=1):
            leaf, before = _leaf(tuned, row.path), _leaf(base, row.path)
            if leaf is not None:
                found = [] if leaf is before else list(_modules(study, row, before, leaf))
                changed = [each for each in found if each['norm']]
                unchanged += (leaf.shape[0] if row.stacked else 1) - len(changed)
                rows += changed
            bar(number, len(names.TABLE))
            study.stop.check()
    asked = study.experiment.causes
    figures = {
        'share': weights.SHARE,
        'directions': asked.weights_directions,
        'epsilon': asked.weights_epsilon,
        'unchanged': unchanged,
        'modules': [{key: value for key, value in row.items() if key not in _LONG} for row in rows],
    }
    return keep(study, run, 'weights', figures, {'modules': pa.Table.from_pylist(rows)})


def _leaf(tree: dict, path: str) -> Any:
    """A parameter by its path in `names`; a tied head is the embedding's, and so has no leaf unless one was tuned."""
    part, _, name = path.rpartition('/')
    return (tree[part] if part else tree).get(name)


def _modules(study: Study, row: names.Row, before: Any, leaf: Any) -> Iterator[Row]:
    """One row for each layer of a parameter that tuning may have changed."""
    if before is None:  # the head of a base that ties it
        before = model.head(study.base_params)
    if not row.stacked:
        before, leaf = before[None], leaf[None]
    spectra = found = None
    if isinstance(leaf, LoRA):
        spectra = each_layer(weights.low_rank_spectrum, study.mesh, leaf)
        changes = np.linalg.norm(spectra.astype(np.float64), axis=1)
    else:
        changes = each_layer(weights.change_norm, study.mesh, before, leaf)
        if len(leaf.shape) == 3:
            spectra = each_layer(weights.spectrum, study.mesh, before, leaf)
    if row.path.removeprefix('layers/') in names.PROJECTIONS:
        found = each_layer(weights.cosines, study.mesh, before, leaf)
    norms, asked = each_layer(weights.norm, study.mesh, before), study.experiment.causes
    for layer, (norm, change) in enumerate(zip(norms.tolist(), changes.tolist(), strict=True)):
        first = None if found is None else found[layer][: asked.weights_directions]
        yield {
            'module': row.module(layer),
            'kind': row.path.removeprefix('layers/'),
            'layer': layer if row.stacked else None,
            'norm': change,
            'base_norm': norm,
            'relative_norm': change / norm if norm else None,
            'effective_rank': None if spectra is None else weights.effective_rank(spectra[layer]),
            'stable_rank': None if spectra is None else weights.stable_rank(spectra[layer]),
            'shares': None if spectra is None else weights.shares(spectra[layer]),
            'directions': None if first is None else len(first),
            'intruders': None if first is None else int((first < asked.weights_epsilon).sum()),
            'spectrum': None if spectra is None else spectra[layer].tolist(),
            'cosines': None if first is None else first.tolist(),
        }


ANALYSIS = Analysis(lambda study: True, _settings, _work, computes=True)
