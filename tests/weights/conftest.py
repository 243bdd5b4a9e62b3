import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ('<unk>', '<s>', '</s>', 'the', 'capital', 'of', 'France', 'is', 'Paris')


@pytest.fixture(scope='session')
def tokenizer():
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token='<unk>'))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token='<unk>',
        bos_token='<s>',
        eos_token='</s>',
        chat_template='{% for m in messages %}{{ m.content }}{% endfor %}',
    )


@pytest.fixture(scope='session')
def torch_llama():
    """Makes small random Llamas in torch; keyword arguments are those of transformers' LlamaConfig."""

    def make(dtype=torch.float32, **changes):
        sizes = {
            'vocab_size': 40,
            'hidden_size': 64,
            'intermediate_size': 96,
            'num_hidden_layers': 3,
            'num_attention_heads': 4,
            'num_key_value_heads': 2,
            'max_position_embeddings': 128,
            'bos_token_id': 1,
            'eos_token_id': 2,
            'rms_norm_eps': 1e-5,
        }
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(sizes | changes))).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # norms and biases too, which start at one and zero
                parameter.add_(0.2 * torch.randn_like(parameter))
        return model.to(dtype)

    return make


@pytest.fixture(scope='session')
def saved(torch_llama, tokenizer, tmp_path_factory):
    """A folder as transformers writes it: (folder, torch model); biases, grouped heads, an untied head."""
    model = torch_llama(attention_bias=True, mlp_bias=True, head_dim=24, rope_theta=5e5)
    folder = tmp_path_factory.mktemp('saved')
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model


@pytest.fixture(scope='session')
def leaf_of():
    """The value that our leaf must have, from torch's state dict: stacked, [in, out]."""

    def get(state, row, layers):
        turn = lambda tensor: tensor.float().numpy().T if row.transposed else tensor.float().numpy()  # noqa: E731
        if not row.stacked:
            return turn(state[row.hf])
        return np.stack([turn(state[row.name('hf', layer)]) for layer in range(layers)])

    return get
