"""Small tokenizers with the kinds of chat template that occur."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CHATML = (  # SmolLM2's form: a default system turn, a newline behind each turn, no tags
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe helpful.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TAGGED = (
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
CONTROL = [AddedToken(name, special=True, normalized=False) for name in ('<s>', '</s>', '<|im_start|>', '<|im_end|>')]
TEXT = ['Human: what is the capital of France?\nAssistant: the capital of France is Paris.', 'system user be helpful']


@pytest.fixture(scope='session')
def make_tokenizer():
    """Builds a byte-level tokenizer with a chat template, or without one."""

    def make(chat_template=None):
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            special_tokens=CONTROL, initial_alphabet=alphabet, vocab_size=330, show_progress=False
        )
        backend.train_from_iterator(TEXT, trainer)
        return PreTrainedTokenizerFast(
            tokenizer_object=backend, bos_token='<s>', eos_token='</s>', chat_template=chat_template
        )

    return make


@pytest.fixture(scope='session')
def bare(make_tokenizer):
    return make_tokenizer()


@pytest.fixture(scope='session')
def chatml(make_tokenizer):
    return make_tokenizer(CHATML)


@pytest.fixture(scope='session')
def tagged(make_tokenizer):
    return make_tokenizer(TAGGED)


@pytest.fixture(scope='session')
def llama2():
    """Llama-2's kind: a space is put before every text."""
    words = ['▁', '▁[INST]', '▁[/INST]', '▁question', '▁answer', '▁a', 'question', 'answer', '<0x0A>']
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(['<unk>', '<s>', '</s>', *words, *letters]))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token='<unk>'))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='always')
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ('<s>', '</s>')])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token='<s>', eos_token='</s>', unk_token='<unk>', chat_template=LLAMA2
    )
