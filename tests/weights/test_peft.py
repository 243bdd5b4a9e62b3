import json

import jax
import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors import safe_open

from jaxshift.checks import LINEAR_TARGETS
from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.llama.linear import LoraSpec
from jaxshift.tune import lora
from jaxshift.weights import safetensors
from jaxshift.weights.peft import save_adapter
from jaxshift.weights.source import open_source

TOKENS = jax.numpy.asarray(np.random.default_rng(0).integers(0, 40, (2, 24)))


def trained(params, spec):
    """An adapter whose b is not zero any more."""
    draw = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: lora.init(jax.random.key(0), params, spec))
    return jax.tree.map(lambda x: draw.normal(0, 0.1, x.shape).astype(np.float32), shapes)


def torch_logits(torch_model):
    with torch.no_grad():
        return torch_model(torch.tensor(np.asarray(TOKENS))).logits.numpy()


@pytest.mark.parametrize(
    'spec',
    [
        LoraSpec(('q_proj', 'v_proj'), rank=4, alpha=16.0),
        LoraSpec(LINEAR_TARGETS, rank=3, alpha=2.5, rslora=True, dropout=0.1),
    ],
)
def test_peft_reads_the_adapter_that_lazy_folded_and_exported_parameters_have(saved, tmp_path, spec):
    folder, _ = saved
    source = open_source(f'dir:{folder}')
    base = source.load('float32')
    adapter = trained(base, spec)
    merged = lora.merge(base, adapter, spec)
    folded = lora.fold(merged)
    save_adapter(tmp_path / 'adapter', adapter, spec, source.model_id)
    safetensors.save(tmp_path / 'folded', folded, source.config, source.tokenizer, 'float32')

    torch_base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype='float32')
    before = torch_logits(torch_base)
    adapted = torch_logits(peft.PeftModel.from_pretrained(torch_base, tmp_path / 'adapter').eval())
    assert abs(adapted - before).max() > 0.1
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / 'folded', dtype='float32')
    np.testing.assert_allclose(torch_logits(exported), adapted, atol=1e-4, rtol=0)
    logits = jax.jit(lambda params: model.forward(source.config, params, TOKENS) @ model.head(params))
    for params in (merged, folded):
        np.testing.assert_allclose(logits(params), adapted, atol=1e-4, rtol=0)


def test_keys_shapes_and_config_are_pefts_own(saved, tmp_path):
    source = open_source(f'dir:{saved[0]}')
    spec = LoraSpec(('q_proj', 'v_proj'), rank=4, alpha=16.0)
    save_adapter(tmp_path / 'ours', trained(source.load('float32'), spec), spec, 'owner/name')
    torch_base = transformers.AutoModelForCausalLM.from_pretrained(saved[0])
    config = peft.LoraConfig(r=4, lora_alpha=16, target_modules=['q_proj', 'v_proj'], task_type='CAUSAL_LM')
    peft.get_peft_model(torch_base, config).save_pretrained(tmp_path / 'theirs')

    def shapes(folder):
        with safe_open(tmp_path / folder / 'adapter_model.safetensors', framework='numpy') as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118

    assert shapes('ours') == shapes('theirs')
    assert shapes('ours')['base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'] == (4, 64)
    ours, theirs = (json.loads((tmp_path / n / 'adapter_config.json').read_text()) for n in ('ours', 'theirs'))
    assert ours['base_model_name_or_path'] == 'owner/name'
    for key in ours.keys() - {'base_model_name_or_path', 'target_modules'}:
        assert ours[key] == theirs[key], key


def test_an_adapter_that_is_not_the_specs_is_not_saved(saved, tmp_path):
    base = open_source(f'dir:{saved[0]}').load('float32')
    spec = LoraSpec(('q_proj',), rank=4, alpha=16.0)
    adapter = trained(base, spec)
    with pytest.raises(InputError, match=r"adapter has \['q_proj'\], its spec names \['v_proj'\]"):
        save_adapter(tmp_path, adapter, LoraSpec(('v_proj',), 4, 16.0), 'x')
    with pytest.raises(InputError, match='spec says rank 8'):
        save_adapter(tmp_path, adapter, LoraSpec(('q_proj',), 8, 16.0), 'x')
    with pytest.raises(InputError, match="target 'router' is no projection"):
        save_adapter(tmp_path, {'layers': {'router': adapter['layers']['q_proj']}}, LoraSpec(('router',), 4, 16.0), 'x')
