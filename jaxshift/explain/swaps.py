"""Cross-sampling: what a few tokens of the tuned model make of the base's answers, and the reverse."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from jaxshift import depends, tuning
from jaxshift.causes import swaps
from jaxshift.causes.swaps import Crossed
from jaxshift.depends import Settings
from jaxshift.explain import points
from jaxshift.explain.analysis import Analysis, each, keep
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder
from jaxshift.study import Study

HOSTS = ('base', 'tuned')  # who decodes; the other one gives tokens
NOTHING = {'by': 'nothing', 'budget': 0.0}
Row = dict[str, Any]


def _settings(study: Study, run: str) -> Settings:
    asked = study.experiment.causes
    return {
        'base': study.base.fingerprint,
        'model': depends.model_key(study, run),
        'reading': study.reading,
        **points.of_answers(study),
        'budgets': list(asked.swaps_budgets),
        'first': asked.swaps_prompts,
        'seed': study.experiment.seed,
    }


def _work(study: Study, run: str) -> list[Path]:
    asked, limits = study.experiment.causes, study.experiment.respond
    prompts = study.prompts[:: limits.samples][: asked.swaps_prompts or None]  # a greedy answer is one answer
    models = {'base': study.base_params, 'tuned': tuning.tuned(study, run)}
    decoder = Decoder(study.base.config, study.experiment.base.dtype, study.template.stop_ids, limits.max_new_tokens)
    size, seed = min(limits.batch_size, len(prompts)), study.experiment.seed

    def crossed(host: str, at: float = swaps.NEVER, chance: float = 0.0) -> dict[str, Crossed]:
        (donor,) = set(HOSTS) - {host}
        return swaps.crossed(decoder, models[host], models[donor], prompts, size, at, chance, seed)

    alone = functools.cache(crossed)  # what each says by itself

    def work(point: Row) -> Row:
        host, budget = point['host'], point['budget']
        at = None
        if point['by'] == 'nothing':
            found = alone(host)
        elif point['by'] == 'js':
            at = swaps.limit(np.concatenate([one.js for one in alone(host).values()]), budget)
            found = crossed(host, at=at)
        else:
            found = crossed(host, chance=budget)
        rows = [
            responses.row(prompt, found[prompt.example_id].token_ids, decoder, study.tokenizer, limits.stop)
            for prompt in prompts
        ]
        own = {f'same_as_{model}': _same(found, alone(model)) for model in HOSTS}
        return {'at': None if at == swaps.NEVER else at, **_counts(found), **own, **points.worth(study, rows)}

    ways: list[dict[str, Any]] = [
        NOTHING,
        *({'by': by, 'budget': budget} for by in ('js', 'lot') for budget in asked.swaps_budgets),
    ]
    rows = each(study, run, 'swaps', [{'host': host} | way for host in HOSTS for way in ways], work)
    return keep(study, run, 'swaps', {'prompts': len(prompts), 'points': rows})


def _counts(found: dict[str, Crossed]) -> Row:
    swapped, changed = (
        np.concatenate([getattr(one, name) for one in found.values()]) for name in ('swapped', 'changed')
    )
    return {'positions': len(swapped), 'swapped': float(swapped.mean()), 'changed': float(changed.mean())}


def _same(found: dict[str, Crossed], others: dict[str, Crossed]) -> float:
    """Share of responses that are word for word those of another."""
    return float(np.mean([found[name].token_ids == others[name].token_ids for name in found]))


ANALYSIS = Analysis(lambda study: True, _settings, _work, computes=True)
