"""Ranks and alphas that differ by projection and by layer: padding, refusals, and what is exported."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch
from safetensors.numpy import load_file
from twins import KEY, LORA, RANKS, started, steps_of

from jaxshift.errors import InputError
from jaxshift.llama import model
from jaxshift.tune import lora
from jaxshift.tune.step import lora_spec, recipe, train_step
from jaxshift.weights.names import modules
from jaxshift.weights.peft import open_adapter, save_adapter


def test_padding_of_ranks_stays_zero_and_is_cut_off_at_export(small, data, tmp_path):
    config, base, torch_model = small
    run = dataclasses.replace(RANKS, weight_decay=0.5, dropout=0.2)
    shape, spec = recipe(run, config, 'float32'), lora_spec(run)
    first, _ = started(run, base)
    values, state = jax.tree.map(jnp.copy, first), shape.optimizer.init(first)
    for batch in steps_of(run, data):
        values, state, _ = train_step(shape)(values, state, base, batch, np.float32(1e-2), KEY)
    ranks = {'q_proj': [4, 7, 4], 'v_proj': [2, 2, 2], 'up_proj': [4, 3, 3]}
    for name, term in values['layers'].items():
        assert term['a'].shape[2] == term['b'].shape[1] == max(ranks[name])
        for layer, rank in enumerate(ranks[name]):
            assert not term['a'][layer, :, rank:].any()
            assert not term['b'][layer, rank:].any()
            assert (term['a'][layer, :, :rank] != first['layers'][name]['a'][layer, :, :rank]).all()

    save_adapter(tmp_path, values, spec, 'x')
    tensors = load_file(tmp_path / 'adapter_model.safetensors')
    for name, of_layers in ranks.items():
        keys = [f'base_model.model.{module}.lora_' for module in modules(name, 3)]
        assert [tensors[f'{key}A.weight'].shape[0] for key in keys] == of_layers
        assert [tensors[f'{key}B.weight'].shape[1] for key in keys] == of_layers
    assert sum(tensor.size for tensor in tensors.values()) == lora.size(base, spec)
    adapted = peft.PeftModel.from_pretrained(copy.deepcopy(torch_model), tmp_path).eval()
    with torch.no_grad():
        theirs = adapted(torch.tensor(batch['tokens']).long()).logits.numpy()
    ours = model.forward(config, lora.merge(base, values, spec), batch['tokens']) @ model.head(base)
    seen = batch['segments'] > 0  # padding has no positions of its own
    np.testing.assert_allclose(np.asarray(ours)[seen], theirs[seen], atol=1e-4, rtol=0)
    again = open_adapter('dir:x', tmp_path, config)
    assert dataclasses.replace(again.spec, targets=spec.targets) == spec
    jax.tree.map(np.testing.assert_array_equal, again.terms(), values)


def test_a_pattern_that_matches_no_adapted_module_is_refused():
    def check(**patterns):
        lora.check(lora_spec(dataclasses.replace(LORA, **patterns)), 3, 'runs.lora')

    check(rank_pattern=('layers.2.self_attn.q_proj=3',), alpha_pattern=('.*=2',))
    for field, pattern in (('rank_pattern', 'layers.3.self_attn.q_proj'), ('alpha_pattern', 'o_proj')):
        with pytest.raises(InputError, match=f"config.runs.lora.{field}: '{pattern}' matches no adapted module"):
            check(**{field: (f'{pattern}=3',)})
