"""Adapters that cannot be read as they are: each is refused by name, with the way out."""

import json
import shlex
import subprocess
import sys

import jax
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from jaxshift.errors import InputError
from jaxshift.weights.peft import open_adapter


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
        ({'target_modules': ['q_proj', 'lm_head']}, 'target_modules adapt lm_head, which is not read; merge it'),
        ({'target_modules': ['embed_tokens']}, 'target_modules adapt model.embed_tokens, which is not read; merge'),
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
    folder, config, _ = theirs()
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
    folder, config, _ = theirs()
    changed(folder, **changes)
    with pytest.raises(InputError, match=f'{folder}/adapter_model.safetensors: tensor .*{message}'):
        open_adapter('dir:x', folder, config)


def test_a_key_of_another_model_is_named(theirs):
    folder, config, _ = theirs()
    tensors = load_file(folder / 'adapter_model.safetensors')
    save_file(tensors | {'base_model.model.score.weight': np.ones(3)}, folder / 'adapter_model.safetensors')
    with pytest.raises(InputError, match="tensor 'base_model.model.score.weight' matches nothing"):
        open_adapter('dir:x', folder, config)


def test_pickled_adapters_are_refused_and_the_words_that_convert_them_work(theirs):
    folder, config, _ = theirs()
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
    folder, config, _ = theirs()
    file = folder / 'adapter_model.safetensors'
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=f'{file}: not a complete safetensors file'):
        open_adapter('dir:x', folder, config)
    (folder / 'adapter_config.json').unlink()
    with pytest.raises(InputError, match='adapter_config.json: missing'):
        open_adapter('dir:x', folder, config)
    file.unlink()
    (folder / 'adapter_config.json').write_text('{}')
    with pytest.raises(InputError, match=f'{file}: missing; take the whole folder'):
        open_adapter('dir:x', folder, config)
