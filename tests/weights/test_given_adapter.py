"""Adapters that PEFT itself wrote, read here: logits, shapes, and everything that is refused."""

import itertools
import json
import shutil
from typing import Any

import jax
import numpy as np
import peft
import pytest
import torch
from safetensors.numpy import load_file, save_file

from jaxshift.llama import model
from jaxshift.llama.linear import LoraSpec, matches
from jaxshift.tune import lora
from jaxshift.weights import adapter_config
from jaxshift.weights.peft import is_adapter, open_adapter, save_adapter
from jaxshift.weights.source import open_adapter as open_named

TOKENS = np.random.default_rng(0).integers(0, 40, (2, 24))
Q0 = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'


def torch_logits(adapted):
    with torch.no_grad():
        return adapted(torch.tensor(TOKENS)).logits.numpy()


def loaded(ported, folder, tied=False):
    """(adapter, base, tuned parameters)."""
    config, base, _ = ported(tie_word_embeddings=tied)
    found = open_adapter('dir:x', folder, config)
    merged = lora.merge(base, found.terms(), found.spec)
    return found, base, lora.replace(merged, found.whole('float32'))


def logits_of(config, params):
    return jax.jit(lambda p: model.forward(config, p, jax.numpy.asarray(TOKENS)) @ model.head(p))(params)


ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
KINDS: dict[str, dict[str, Any]] = {
    'plain': {},
    'rslora': {'use_rslora': True, 'r': 3},
    'patterns': {
        'target_modules': ALL,
        'rank_pattern': {'q_proj': 8, 'layers.1.mlp.down_proj': 2, r'layers\.[02]\.self_attn\.[kv]_proj': 5},
        'alpha_pattern': {'model.layers.0.self_attn.q_proj': 3, 'o_proj': 1, '^model.*up_proj': 40},
    },
    'patterns of rslora': {'use_rslora': True, 'rank_pattern': {'layers.2.self_attn.v_proj': 9}},
    'first pattern holds': {'rank_pattern': {'.*q_proj': 2, 'layers.0.self_attn.q_proj': 7}},
    'a name is no suffix of a word': {'rank_pattern': {'proj': 9, 'attn.q_proj': 8}, 'alpha_pattern': {'q_pro': 1}},
    'regular expression': {'target_modules': r'.*layers\.(0|2)\.(self_attn\.q|mlp\.up)_proj'},
    'all-linear': {'target_modules': 'all-linear'},
    'some layers': {'layers_to_transform': [0, 2]},
    'one layer': {'layers_to_transform': 1, 'layers_pattern': 'layers', 'target_modules': ['q_proj', 'down_proj']},
    'full names': {'target_modules': ['layers.1.self_attn.q_proj', 'up_proj']},
    'excluded': {'target_modules': ALL, 'exclude_modules': ['k_proj', 'layers.1.mlp.up_proj']},
    'excluded by expression': {'target_modules': ALL, 'exclude_modules': r'.*\.1\.mlp\..*'},
    'saved': {'modules_to_save': ['embed_tokens', 'lm_head']},
    'saved head': {'modules_to_save': ['lm_head'], 'rank_pattern': {'v_proj': 2}},
    'bfloat16': {'dtype': torch.bfloat16, 'modules_to_save': ['lm_head']},
    'float16': {'dtype': torch.float16},
    'tied, saved': {'tied': True, 'modules_to_save': ['embed_tokens']},
    'tied, saved as one': {'tied': True, 'modules_to_save': ['embed_tokens'], 'ensure_weight_tying': True},
}


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('settings', KINDS.values(), ids=KINDS)
def test_logits_are_pefts(theirs, ported, settings):
    folder, config, adapted = theirs(**settings)
    logits = torch_logits(adapted)
    found, base, params = loaded(ported, folder, settings.get('tied', False))
    assert abs(logits - logits_of(config, base)).max() > 0.05
    np.testing.assert_allclose(logits_of(config, params), logits, atol=1e-4, rtol=0)
    assert bool(found.replaced) == ('modules_to_save' in settings)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('settings', [v for v in KINDS.values() if 'modules_to_save' not in v])
def test_what_is_read_and_saved_again_is_identical(theirs, tmp_path, settings):
    folder, config, _ = theirs(**settings)
    first = open_adapter('dir:x', folder, config)
    save_adapter(tmp_path / 'again', first.terms(), first.spec, 'x')
    again = open_adapter('dir:x', tmp_path / 'again', config)
    assert again.spec == first.spec
    jax.tree.map(np.testing.assert_array_equal, again.terms(), first.terms())
    ours, original = (load_file(each / 'adapter_model.safetensors') for each in (tmp_path / 'again', folder))
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in original.items()}
    for key, value in original.items():
        np.testing.assert_array_equal(ours[key], value.astype(np.float32))


def test_patterns_match_as_pefts_do():
    from peft.utils.other import get_pattern_key

    patterns = ('q_proj', 'proj', 'attn.q_proj', 'self_attn', r'layers\.\d+\.mlp.*', 'layers.1.self_attn.q_proj', '.*')
    patterns += ('^model.layers.0.self_attn.q_proj', 'q_proj|v_proj', 'model', '1.self_attn.q_proj', '')
    modules = [f'model.layers.{i}.{part}' for i in (0, 1, 11) for part in ('self_attn.q_proj', 'mlp.up_proj')]
    for pattern, module in itertools.product(patterns, modules):
        assert matches(pattern, module) == (get_pattern_key([pattern], module) == pattern), (pattern, module)


def test_base_and_adapted_logits_of_a_pair_are_those_of_two_trees(theirs, ported):
    folder, config, adapted = theirs(**KINDS['patterns'])
    found, base, _ = loaded(ported, folder)
    params = lora.merge(base, found.terms(), found.spec, paired=True)
    hidden = model.forward(config, params, jax.numpy.asarray(TOKENS), paired=True)
    np.testing.assert_allclose(hidden[0] @ model.head(base), logits_of(config, base), atol=1e-4, rtol=0)
    np.testing.assert_allclose(hidden[1] @ model.head(base), torch_logits(adapted), atol=1e-4, rtol=0)


def test_a_fingerprint_is_that_of_numbers_and_config(theirs, tmp_path):
    folder, config, _ = theirs()
    first = open_adapter('dir:x', folder, config).fingerprint
    assert open_named(f'dir:{folder}', config).fingerprint == first
    settings = json.loads((folder / 'adapter_config.json').read_text())
    (folder / 'adapter_config.json').write_text(json.dumps(settings | {'lora_alpha': 17}))
    second = open_adapter('dir:x', folder, config).fingerprint
    tensors = load_file(folder / 'adapter_model.safetensors')
    tensors[Q0] = tensors[Q0] + 1
    save_file(tensors, folder / 'adapter_model.safetensors')
    assert len({first, second, open_adapter('dir:x', folder, config).fingerprint}) == 3


def test_a_folder_of_a_model_is_no_adapter(saved, tmp_path):
    assert not is_adapter(saved[0])
    merged = shutil.copytree(saved[0], tmp_path / 'merged')
    (merged / 'adapter_config.json').write_text('{}')  # left over
    assert not is_adapter(merged)
    assert open_named(f'dir:{saved[0]}', None) is None
    assert open_named('gguf:model.gguf', None) is None


def test_every_key_that_peft_writes_is_known(torch_llama, tmp_path):
    """A default of a later PEFT that is not empty would be refused, and be seen here first."""
    chosen = peft.LoraConfig(target_modules=['q_proj'], task_type='CAUSAL_LM')
    peft.get_peft_model(torch_llama(), chosen).save_pretrained(tmp_path)
    assert adapter_config.read(tmp_path, 3) == (LoraSpec(('q_proj',), 8, 8), (), 'an unnamed base')
