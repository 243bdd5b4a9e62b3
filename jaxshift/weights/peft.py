"""LoRA adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import save_file

from jaxshift.errors import InputError
from jaxshift.llama.linear import LoraSpec
from jaxshift.store import paths
from jaxshift.weights import names


def save_adapter(folder: str | Path, adapter: dict, spec: LoraSpec, base_model: str) -> None:
    """Writes an adapter that `peft.PeftModel.from_pretrained` reads.

    Args:
      folder: made where missing.
      adapter: tree of `tune.lora.init`: a [L, in, r] and b [L, r, out], replicated where there are many processes.
      spec: what the adapter is.
      base_model: the model it belongs to; PEFT loads it from there (a hub name or a folder).

    Raises:
      InputError: the adapter is not the one that spec describes.
    """
    folder = Path(folder)
    terms = adapter['layers']
    if set(terms) != set(spec.targets):
        raise InputError(f'{folder}: the adapter has {sorted(terms)}, its spec names {sorted(spec.targets)}')
    whole = {row.path: row for row in names.TABLE if row.transposed and row.stacked}
    tensors = {}
    for target, term in terms.items():
        if f'layers/{target}' not in whole:
            raise InputError(f'{folder}: target {target!r} is no projection of the model')
        for part, leaf in term.items():
            stack = np.asarray(leaf, np.float32).swapaxes(1, 2)
            if stack.shape[1 if part == 'a' else 2] != spec.rank:
                raise InputError(f'{folder}: {target}.{part} is {leaf.shape}, its spec says rank {spec.rank}')
            for layer, matrix in enumerate(stack):
                tensors[whole[f'layers/{target}'].peft(part, layer)] = np.ascontiguousarray(matrix)
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        paths.write_json(folder / 'adapter_config.json', _config(spec, base_model))
        save_file(tensors, folder / 'adapter_model.safetensors', metadata={'format': 'pt'})


def _config(spec: LoraSpec, base_model: str) -> dict:
    return {
        'peft_type': 'LORA',
        'task_type': 'CAUSAL_LM',
        'base_model_name_or_path': base_model,
        'r': spec.rank,
        'lora_alpha': int(spec.alpha) if float(spec.alpha).is_integer() else spec.alpha,
        'use_rslora': spec.rslora,
        'lora_dropout': spec.dropout,
        'target_modules': sorted(spec.targets),
        'bias': 'none',
        'fan_in_fan_out': False,
        'inference_mode': True,
        'init_lora_weights': True,
        'modules_to_save': None,
        'rank_pattern': {},
        'alpha_pattern': {},
        'use_dora': False,
    }
