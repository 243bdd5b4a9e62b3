from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from jaxshift.llama.config import from_hf


@pytest.fixture(scope='session')
def leaf_of():
    """The value that our leaf must have, from torch's state dict: stacked, [in, out]."""

    def get(state, row, layers):
        turn = lambda tensor: tensor.float().numpy().T if row.transposed else tensor.float().numpy()  # noqa: E731
        if not row.stacked:
            return turn(state[row.hf])
        return np.stack([turn(state[row.name('hf', layer)]) for layer in range(layers)])

    return get


@pytest.fixture
def theirs(torch_llama, tmp_path):
    """Makes an adapter as PEFT writes it: (folder, config of the base, PEFT's model)."""

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
        adapted.save_pretrained(tmp_path / 'adapter')
        file = tmp_path / 'adapter' / 'adapter_model.safetensors'
        tensors = {name: value.to(dtype) for name, value in load_file(file).items()}
        save_file(tensors, file)
        return tmp_path / 'adapter', config, adapted.eval()

    return make
