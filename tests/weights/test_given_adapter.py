"""Adapters that PEFT itself wrote, read here: logits, shapes, and everything that is refused."""

import itertools
import json
from typing import Any

import jax
import numpy as np
import peft
import pytest
import torch
from safetensors.numpy import load_file, save_file

from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.llama.config import from_hf
from jaxshift.llama.linear import LoraSpec, matches
from jaxshift.tune import lora
from jaxshift.weights import adapter_config
from jaxshift.weights.peft import is_adapter, open_adapter, save_adapter
from jaxshift.weights.source import open_adapter as open_named

TOKENS = np.random.default_rng(0).integers(0, 40, (2, 24))
Q0 = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'


@pytest.fixture
def theirs(torch_llama, tmp_path):
    """Makes an adapter as PEFT writes it: (folder, config of the base, PEFT's model, logits)."""

    def make(dtype=torch.float32, tied=False, **settings):
        torch_base = torch_llama(tie_word_embeddings=tied)
        config = from_hf(torch_base.config.to_dict())
        chosen: dict[str, Any] = {'r': 4, 'lora_alpha': 16, 'target_modules': ['q_proj', 'v_proj']} | settings
        adapted = peft.get_peft_model(torch_base, peft.LoraConfig(task_type='CAUSAL_LM', **chosen))
        torch.manual_seed(1)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if 'lora_' in name or 'modules_to_save' in name:
                    parameter.add_(0.1 * torch.randn_like(parameter))
                    parameter.copy_(parameter.to(dtype))  # so that files of fewer bits hold the same numbers
            logits = adapted.eval()(torch.tensor(TOKENS)).logits.numpy()
        adapted.save_pretrained(tmp_path / 'adapter')
        file = tmp_path / 'adapter' / 'adapter_model.safetensors'
        import safetensors.torch

        tensors = {name: value.to(dtype) for name, value in safetensors.torch.load_file(file).items()}
        safetensors.torch.save_file(tensors, file)
        return tmp_path / 'adapter', config, adapted, logits

    return make


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
    folder, config, _, logits = theirs(**settings)
    found, base, params = loaded(ported, folder, settings.get('tied', False))
    assert abs(logits - logits_of(config, base)).max() > 0.05
    np.testing.assert_allclose(logits_of(config, params), logits, atol=1e-4, rtol=0)
    assert bool(found.replaced) == ('modules_to_save' in settings)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('settings', [v for v in KINDS.values() if 'modules_to_save' not in v])
def test_what_is_read_and_saved_again_is_identical(theirs, tmp_path, settings):
    folder, config, _, _ = theirs(**settings)
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
    folder, config, _, logits = theirs(**KINDS['patterns'])
    found, base, _ = loaded(ported, folder)
    params = lora.merge(base, found.terms(), found.spec, paired=True)
    hidden = model.forward(config, params, jax.numpy.asarray(TOKENS), paired=True)
    np.testing.assert_allclose(hidden[0] @ model.head(base), logits_of(config, base), atol=1e-4, rtol=0)
    np.testing.assert_allclose(hidden[1] @ model.head(base), logits, atol=1e-4, rtol=0)


def test_a_fingerprint_is_that_of_numbers_and_config(theirs, tmp_path):
    folder, config, _, _ = theirs()
    first = open_adapter('dir:x', folder, config).fingerprint
    assert open_named(f'dir:{folder}', config).fingerprint == first
    settings = json.loads((folder / 'adapter_config.json').read_text())
    (folder / 'adapter_config.json').write_text(json.dumps(settings | {'lora_alpha': 17}))
    second = open_adapter('dir:x', folder, config).fingerprint
    tensors = load_file(folder / 'adapter_model.safetensors')
    tensors[Q0] = tensors[Q0] + 1
    save_file(tensors, folder / 'adapter_model.safetensors')
    assert len({first, second, open_adapter('dir:x', folder, config).fingerprint}) == 3


def test_a_folder_of_a_model_is_no_adapter(saved):
    assert not is_adapter(saved[0])
    assert open_named(f'dir:{saved[0]}', None) is None
    assert open_named('gguf:model.gguf', None) is None


def changed(folder, **changes):
    path = folder / 'adapter_config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'use_dora': True}, 'use_dora True is not read; merge it with PEFT'),
        ({'bias': 'lora_only'}, "bias 'lora_only' is not read, only none is; merge it"),
        ({'lora_bias': True}, 'lora_bias True is not read; merge it'),
        ({'peft_type': 'IA3'}, "peft_type 'IA3' is not read, only LORA is; merge it"),
        ({'modules_to_save': ['lm_head', 'model.norm']}, r"modules_to_save 'model.norm' is not read, embed_tokens and"),
        ({'target_parameters': ['x']}, r"target_parameters \['x'\] is not read; merge it"),
        ({'layer_replication': [[0, 2]]}, r'layer_replication \[\[0, 2\]\] is not read; merge it'),
        ({'trainable_token_indices': [1]}, r'trainable_token_indices \[1\] is not read; merge it'),
        ({'of_a_later_peft': {'x': 1}}, "of_a_later_peft {'x': 1} is not read; merge it"),
        ({'init_lora_weights': 'pissa'}, "init_lora_weights 'pissa' changes the base weights, and is not read; merge"),
        ({'target_modules': ['q_proj', 'lm_head']}, 'target_modules adapt lm_head, which is not read: merge it'),
        ({'target_modules': ['embed_tokens']}, 'target_modules adapt model.embed_tokens, which is not read: merge'),
        ({'target_modules': None}, 'target_modules is missing'),
        ({'target_modules': ['c_attn']}, r"target_modules \['c_attn'\] match no projection of the base"),
        ({'r': 0}, 'r is 0, and must be a number above 0'),
        ({'lora_alpha': 'big'}, "lora_alpha is 'big', and must be a number above 0"),
        ({'rank_pattern': {'q_proj': 2.5}}, 'q_proj is 2.5, and must be a number above 0'),
        ({'rank_pattern': {'q_proj[': 2}}, 'unterminated character set'),
        ({'rank_pattern': 5}, 'take the file that came with the adapter'),
    ],
)
def test_what_cannot_be_represented_is_refused_by_name_with_the_way_out(theirs, changes, message):
    folder, config, _, _ = theirs()
    changed(folder, **changes)
    with pytest.raises(InputError, match=f'{folder}/adapter_config.json: .*{message}') as error:
        open_adapter('dir:x', folder, config)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'target_modules': ['q_proj']}, r"v_proj.lora_.\.weight' matches nothing that adapter_config.json and the"),
        ({'target_modules': ['q_proj', 'v_proj', 'k_proj']}, r"k_proj.lora_.\.weight' is missing, though adapter_con"),
        ({'r': 8}, r"lora_.\.weight' is \[.*4.*\], adapter_config.json and the base say \[.*8.*\]"),
        ({'rank_pattern': {'layers.1.self_attn.q_proj': 3}}, r'layers.1.self_attn.q_proj.lora_.* say \[.*3.*\]'),
        ({'modules_to_save': ['lm_head']}, r"'base_model.model.lm_head.weight' is missing, though"),
    ],
)
def test_config_and_tensors_must_tell_of_the_same_modules(theirs, changes, message):
    folder, config, _, _ = theirs()
    changed(folder, **changes)
    with pytest.raises(InputError, match=f'{folder}/adapter_model.safetensors: tensor .*{message}'):
        open_adapter('dir:x', folder, config)


def test_a_key_of_another_model_is_named(theirs):
    folder, config, _, _ = theirs()
    tensors = load_file(folder / 'adapter_model.safetensors')
    save_file(tensors | {'base_model.model.score.weight': np.ones(3)}, folder / 'adapter_model.safetensors')
    with pytest.raises(InputError, match="tensor 'base_model.model.score.weight' matches nothing"):
        open_adapter('dir:x', folder, config)


def test_pickled_adapters_are_refused_and_the_words_that_convert_them_work(theirs):
    import shlex
    import subprocess
    import sys

    folder, config, _, _ = theirs()
    before = open_adapter('dir:x', folder, config).terms()
    file = folder / 'adapter_model.safetensors'
    torch.save({key: torch.tensor(value) for key, value in load_file(file).items()}, folder / 'adapter_model.bin')
    file.unlink()
    with pytest.raises(
        InputError, match=r'adapter_model.bin is pickled, and reading it runs code: convert it'
    ) as error:
        open_adapter('dir:x', folder, config)
    command = shlex.split(str(error.value).partition('torch: ')[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    jax.tree.map(np.testing.assert_array_equal, open_adapter('dir:x', folder, config).terms(), before)


def test_cut_or_missing_files_are_named(theirs):
    folder, config, _, _ = theirs()
    file = folder / 'adapter_model.safetensors'
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=f'{file}: not a complete safetensors file'):
        open_adapter('dir:x', folder, config)
    (folder / 'adapter_config.json').unlink()
    with pytest.raises(InputError, match='adapter_config.json: missing'):
        open_adapter('dir:x', folder, config)
    file.unlink()
    (folder / 'adapter_config.json').write_text('{}')
    with pytest.raises(InputError, match=f'{file}: missing, take the whole folder'):
        open_adapter('dir:x', folder, config)


def test_every_key_that_peft_writes_is_known(torch_llama, tmp_path):
    """A default of a later PEFT that is not empty would be refused, and be seen here first."""
    chosen = peft.LoraConfig(target_modules=['q_proj'], task_type='CAUSAL_LM')
    peft.get_peft_model(torch_llama(), chosen).save_pretrained(tmp_path)
    assert adapter_config.read(tmp_path, 3) == (LoraSpec(('q_proj',), 8, 8), ())
