"""PEFT's adapter_config.json: read into a `LoraSpec`, written from one, and refused by name where it asks for more."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxshift.errors import InputError
from jaxshift.llama.linear import LoraSpec
from jaxshift.weights import names
from jaxshift.weights.json_files import read_json

NAME = 'adapter_config.json'
# Modules that an adapter may replace outright, and their leaves in the parameter tree.
REPLACEABLE = ('embed_tokens', 'lm_head')

_READ = frozenset(
    (
        'peft_type', 'r', 'lora_alpha', 'lora_dropout', 'use_rslora', 'target_modules', 'exclude_modules',
        'layers_to_transform', 'layers_pattern', 'rank_pattern', 'alpha_pattern', 'modules_to_save', 'bias',
        'init_lora_weights',
    )
)  # fmt: skip
# They say where an adapter came from or how it was trained, and nothing about the forward pass of a Llama.
_HARMLESS = frozenset(
    (
        'task_type', 'base_model_name_or_path', 'revision', 'inference_mode', 'auto_mapping', 'peft_version',
        'fan_in_fan_out', 'megatron_core', 'loftq_config', 'eva_config', 'qalora_group_size', 'ensure_weight_tying',
    )
)  # fmt: skip
_INITIAL = ('gaussian', 'eva', 'orthogonal')  # the other named initialisations change the base weights too
_MERGE = "merge it with PEFT (merge_and_unload(), then save_pretrained('FOLDER')) and give dir:FOLDER"


def read(folder: Path, layers: int) -> tuple[LoraSpec, tuple[str, ...], str]:
    """What an adapter's config says about a model of so many layers, by PEFT's own rules of matching.

    Returns:
      The spec; its targets are names of projections, or of modules where not every layer has the projection adapted.
      Which of `REPLACEABLE` the adapter replaces. And the name of the base that it was trained on.

    Raises:
      InputError: the file is missing or damaged, or asks for what is not read.
    """
    path = folder / NAME
    values = read_json(path)
    _refuse(path, values)
    try:
        tables = [module for module in ('lm_head', 'model.embed_tokens') if _adapts_table(values, module)]
        spec = _spec(values, layers)
    except (TypeError, ValueError, AttributeError, re.error) as error:
        raise InputError(f'{path}: {error}; take the file that came with the adapter') from error
    if tables:
        raise InputError(f'{path}: target_modules adapt {tables[0]}, which is not read; {_MERGE}')
    if not spec.targets:
        raise InputError(f'{path}: target_modules {values["target_modules"]!r} match no projection of the base')
    replaced = tuple(dict.fromkeys(name.rpartition('.')[2] for name in values.get('modules_to_save') or ()))
    return spec, replaced, str(values.get('base_model_name_or_path') or 'an unnamed base')


def write(spec: LoraSpec, base_model: str) -> dict:
    """The file's contents for a spec, as PEFT reads them."""
    return {
        'peft_type': 'LORA',
        'task_type': 'CAUSAL_LM',
        'base_model_name_or_path': base_model,
        'r': spec.rank,
        'lora_alpha': _plain(spec.alpha),
        'use_rslora': spec.rslora,
        'lora_dropout': spec.dropout,
        'target_modules': sorted(spec.targets),
        'bias': 'none',
        'fan_in_fan_out': False,
        'inference_mode': True,
        'init_lora_weights': True,
        'modules_to_save': None,
        'rank_pattern': dict(spec.rank_pattern),
        'alpha_pattern': {pattern: _plain(alpha) for pattern, alpha in spec.alpha_pattern},
        'use_dora': False,
    }


def _plain(alpha: float) -> float:
    return int(alpha) if float(alpha).is_integer() else alpha


def _refuse(path: Path, values: dict) -> None:
    """Refuses what changes the forward pass in a way that is not read; an empty value asks for nothing."""
    if values.get('peft_type') != 'LORA':
        raise InputError(f'{path}: peft_type {values.get("peft_type")!r} is not read, only LORA is; {_MERGE}')
    for key, value in values.items():
        if value and key not in _READ | _HARMLESS:
            raise InputError(f'{path}: {key} {value!r} is not read; {_MERGE}')
    if values.get('bias') not in (None, 'none'):
        raise InputError(f'{path}: bias {values["bias"]!r} is not read, only none is; {_MERGE}')
    initial = values.get('init_lora_weights')
    if isinstance(initial, str) and initial not in _INITIAL:
        raise InputError(f'{path}: init_lora_weights {initial!r} changes the base weights, and is not read; {_MERGE}')
    if not values.get('target_modules'):
        raise InputError(f'{path}: target_modules is missing; take the file that came with the adapter')
    for name in values.get('modules_to_save') or ():
        if str(name).rpartition('.')[2] not in REPLACEABLE:
            raise InputError(f'{path}: modules_to_save {name!r} is not read, {" and ".join(REPLACEABLE)} are; {_MERGE}')


def _spec(values: dict, layers: int) -> LoraSpec:
    targets: list[str] = []
    for projection in names.PROJECTIONS:
        modules = names.modules(projection, layers)
        adapted = [module for module in modules if _targeted(values, module)]
        targets += [projection] if adapted == modules else adapted
    return LoraSpec(
        tuple(targets),
        _number(values, 'r', int),
        _number(values, 'lora_alpha', float),
        bool(values.get('use_rslora')),
        values.get('lora_dropout') or 0.0,
        _patterns(values, 'rank_pattern', int),
        _patterns(values, 'alpha_pattern', float),
    )


def _all_linear(values: dict) -> bool:
    return isinstance(values['target_modules'], str) and values['target_modules'].lower() == 'all-linear'


def _adapts_table(values: dict, module: str) -> bool:
    # To PEFT the head is not one of all linear modules.
    return not _all_linear(values) and _targeted(values, module)


def _targeted(values: dict, module: str) -> bool:
    """Whether PEFT adapts a module (peft.tuners.tuners_utils.check_target_module_exists)."""
    targets, excluded = values['target_modules'], values.get('exclude_modules') or ()
    if re.fullmatch(excluded, module) if isinstance(excluded, str) else _named(excluded, module):
        return False
    if any(re.match(rf'(^|.*\.){saved}($|\..*)', module) for saved in values.get('modules_to_save') or ()):
        return False
    if _all_linear(values):
        return True
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return _named(targets, module) and _in_layers(values, module)


def _named(wanted: Iterable[str], module: str) -> bool:
    return any(f'.{module}'.endswith(f'.{name}') for name in wanted)


def _in_layers(values: dict, module: str) -> bool:
    wanted, patterns = values.get('layers_to_transform'), values.get('layers_pattern')
    if wanted is None or wanted == []:
        return True
    patterns = [patterns] if isinstance(patterns, str) else patterns
    forms = [rf'(?:^|.*?\.){pattern}\.(\d+)\.' for pattern in patterns or ()] or [r'.*?\.[^.]*\.(\d+)\.']
    found = next((match for form in forms if (match := re.match(form, module))), None)
    return found is not None and int(found[1]) in ([wanted] if isinstance(wanted, int) else wanted)


def _number(values: dict, key: str, kind: type):
    value: Any = values.get(key)
    if type(value) not in (int, kind) or not 0 < value < math.inf:
        raise ValueError(f'{key} is {value!r}, and must be a number above 0')
    return value


def _patterns(values: dict, key: str, kind: type) -> tuple:
    found = values.get(key) or {}
    for pattern in found:
        re.compile(pattern)
    return tuple((pattern, _number(found, pattern, kind)) for pattern in found)
