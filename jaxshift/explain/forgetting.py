"""What tuning changed on general text, which it was not about: the cross-entropy to the base's own predictions."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxshift import comparing, depends
from jaxshift.depends import Settings
from jaxshift.devices import process
from jaxshift.explain import general
from jaxshift.explain.analysis import Analysis, keep
from jaxshift.shift import curves, records
from jaxshift.shift.contexts import Case, Comparison
from jaxshift.shift.intervals import ratio_intervals
from jaxshift.study import Study

CONTEXT = 'general'  # names the windows of plain text


def _settings(study: Study, run: str) -> Settings:
    asked = study.experiment
    return {
        **general.settings(study),
        'seed': asked.seed,
        'bootstrap': asked.sweep.bootstrap,
        'reading': study.reading,
        'base': study.base.fingerprint,
        'model': depends.model_key(study, run),
    }


def _work(study: Study, run: str) -> list[Path]:
    # The first token of a passage is predicted from nothing, so it is read only.
    cases = [Case(each.id, each.ids[:1], each.ids[:1], each.ids[1:]) for each in general.passages(study)]
    folder = study.workdir.causes(run) / 'forgetting.parts'
    comparing.compare(study, run, [Comparison(CONTEXT, 'matched', -1, cases)], folder, 'forgetting')

    passages = by_passage(records.read(folder))
    figures = summary(passages, study.experiment.seed, study.experiment.sweep.bootstrap)
    figures = {'text': general.named(study)} | figures
    study.say(f'{run} on general text: KL(base || tuned) {figures["kl_base_tuned"]["mean"]:.4f} nats a token')
    process.together('forgetting')  # all have read the parts
    process.by_leader('forgetting', partial(shutil.rmtree, folder))
    return keep(study, run, 'forgetting', figures, {'passages': passages})


def by_passage(tokens: pa.Table) -> pa.Table:
    """One row a passage: its positions, and means over them, from token records of both models on the text itself.

    cross_entropy is that of the tuned model to the base's own predictions, -sum q log p = H(q) + KL(q || p) with q the
    base's and p the tuned model's distribution; base_entropy, H(q), is what it would be had nothing changed, and
    kl_base_tuned what was added. base_loss and tuned_loss are the nats a token that both give to the text itself;
    same_top_1 is the percentage of positions at which both would say the same.
    """
    column = {name: tokens[name].to_numpy().astype(np.float64) for name in (
        'kl_base_tuned', 'kl_tuned_base', 'base_entropy', 'emitted_base_logprob', 'emitted_tuned_logprob',
    )}  # fmt: skip
    same = tokens['base_argmax_id'].to_numpy() == tokens['tuned_argmax_id'].to_numpy()
    values = {
        'base_entropy': column['base_entropy'],
        'cross_entropy': column['base_entropy'] + column['kl_base_tuned'],
        'kl_base_tuned': column['kl_base_tuned'],
        'kl_tuned_base': column['kl_tuned_base'],
        'base_loss': -column['emitted_base_logprob'],
        'tuned_loss': -column['emitted_tuned_logprob'],
        'same_top_1': 100.0 * same,
    }
    passage, names = curves.response_index(tokens)
    positions = np.bincount(passage, minlength=len(names))
    means = {name: np.bincount(passage, each, len(names)) / positions for name, each in values.items()}
    return pa.table({'passage': names, 'positions': positions, **means})


def summary(passages: pa.Table, seed: int, bootstrap: int) -> dict:
    """Means over all positions of `by_passage`, each with its interval over passages."""
    positions = passages['positions'].to_numpy().astype(np.float64)
    names = passages.column_names[2:]
    sums = np.stack([passages[name].to_numpy() * positions for name in names], axis=1)
    low, high = ratio_intervals(sums, np.repeat(positions[:, None], len(names), 1), bootstrap, seed)
    return {'passages': passages.num_rows, 'positions': int(positions.sum())} | {
        name: {
            'mean': float(sums[:, i].sum() / positions.sum()),
            'interval': None if np.isnan(low[i]) else [float(low[i]), float(high[i])],
        }
        for i, name in enumerate(names)
    }


ANALYSIS = Analysis(lambda study: True, _settings, _work, computes=True)
