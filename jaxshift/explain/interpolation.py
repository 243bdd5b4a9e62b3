"""Models on the line through base and tuned, and models whose change is taken back in part."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from jaxshift import depends, tuning
from jaxshift.causes import interpolation
from jaxshift.depends import Settings
from jaxshift.explain import points
from jaxshift.explain.analysis import Analysis, each, keep
from jaxshift.study import Study

SCALED = 'scaled'  # beside the orders in which a change is taken back
Row = dict[str, Any]


def _settings(study: Study, run: str) -> Settings:
    asked = study.experiment.causes
    return {
        **points.settings(study, run),
        'model': depends.model_key(study, run),
        'factors': list(asked.interpolation_factors),
        'restored': list(asked.interpolation_restored),
        'first': asked.interpolation_responses,
    }


def _work(study: Study, run: str) -> list[Path]:
    asked, (base, tuned) = study.experiment.causes, tuning.both(study, run)
    cases = points.windows(study, run, asked.interpolation_responses)
    line = [{'way': SCALED, 'at': float(factor)} for factor in asked.interpolation_factors]
    parts = [
        {'way': order, 'at': float(share)}
        for order in interpolation.ORDERS
        for share in asked.interpolation_restored
    ]  # fmt: skip

    def work(point: Row) -> Row:
        params, put_back = _model(study, base, tuned, point)
        return {'put_back': put_back, **points.shift(study, run, params, cases), **points.accuracy(study, params)}

    rows = each(study, run, 'interpolation', line + parts, work)
    return keep(study, run, 'interpolation', {'responses': len(cases), 'points': rows})


def _model(study: Study, base: dict, tuned: dict, point: Row) -> tuple[dict, float | None]:
    """Parameters at a point, and the share of the change that it takes back."""
    dtype = study.experiment.base.dtype
    if point['way'] == SCALED:
        return interpolation.scaled(base, tuned, point['at'], dtype), None
    take_back = partial(interpolation.restored, base, tuned, point['way'], point['at'])
    return take_back(study.experiment.seed, dtype)


ANALYSIS = Analysis(lambda study: True, _settings, _work, computes=True)
