import math
import random
import types

import pytest
import regex
import tokenizers
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from jaxshift.errors import InputError
from jaxshift.weights import tokenizer

TEXTS = {
    'words': "The capital of France is Paris. I'm sure they'll agree, WE'RE not.",
    'code': 'def f(x: int) -> str:\n    return x**2  # note\n\tif a != b: pass\n',
    'numbers': 'In 2024, 3.14159 and 1,000,000; 5th, x2, 0x1F.',
    'accents': 'Café naïve Ångström über señor, Привет мир',
    'chinese': '你好，世界！今天是2024年5月。',
    'emoji': '👩‍👩‍👧 hi 😀😀 🇫🇷 ok',
    'spaces': 'a  b   c\n\n\n d \t e  ',
    'control': '<|im_start|>user\nhi<|im_end|>\n <filename>a.py',
    'nothing': '',
}
AFTER_SPACES = {'table': 'a  12\n   345\t6', 'list': '[\n    1,\n    2,\n]', 'signs': 'a ½ cup, x ² and Ⅷ, ٣٤'}


@pytest.fixture(scope='session')
def theirs(smollm2_source):
    path = smollm2_source.weights.path
    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


@pytest.mark.parametrize('text', TEXTS.values(), ids=TEXTS)
def test_ids_are_those_of_transformers_and_torch(smollm2_source, theirs, text):
    ids = smollm2_source.tokenizer(text)['input_ids']
    assert ids == theirs(text)['input_ids']
    assert smollm2_source.tokenizer.decode(ids) == text


@pytest.fixture(scope='session')
def original(smollm2_source, theirs):
    """transformers' tokenizer with the pre-tokenizer of SmolLM2's own tokenizer.json."""
    backend = tokenizers.Tokenizer.from_str(theirs.backend_tokenizer.to_str())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    return backend


@pytest.mark.parametrize('text', [*TEXTS.values(), *AFTER_SPACES.values()], ids=[*TEXTS, *AFTER_SPACES])
def test_ids_are_those_of_smollm2s_own_pre_tokenizer(smollm2_source, original, text):
    ids = smollm2_source.tokenizer(text)['input_ids']
    assert ids == original.encode(text).ids
    assert smollm2_source.tokenizer.decode(ids) == text


MIXED = """The capital of France is Paris I'm they'll WE'RE don't antidisestablishmentarianism Llama-2 e-mail
    def return lambda: x**2 != None self._weights[i+1] += 0x1F; // */ "quoted" {'a': [1, 2]} <div class="x"> https://a.b/?c=d
    Café naïve Ångström señor Straße œuvre Привет мир Ελλάδα שלום مرحبا हिन्दी ไทย Tiếng e\u0301 i\u0307
    你好 世界！ 今天是 中文和English混排 東京 こんにちは カタカナ 안녕하세요 。 「引用」
    😀 👩‍👩‍👧 🇫🇷 👍🏽 ❤️ ☃ ™ ½ ² Ⅷ ٣٤ １２３ 0 7 42 2024 3.14159 1,000,000 5th"""
GAPS = (' ', ' ', ' ', '', '  ', '   ', '        ', '\t', '\n', '\n\n', ' \n ', '\r\n', '\u00a0', '\u3000')
GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def mixed_lines():
    """1,000 texts of words, code, accents, Chinese, emoji and numbers with all kinds of spaces between."""
    draw, words = random.Random(0), MIXED.split()
    return [''.join(draw.choice(words) + draw.choice(GAPS) for _ in range(draw.randint(1, 30))) for _ in range(1000)]


def byte_pair_ids(text, vocabulary, ranks):
    """Byte-pair encoding as GPT-2's own Python does it (Radford et al. 2019), digits apart; no library's tokenizer."""
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letter = {byte: chr(byte) for byte in letters}
    letter |= {byte: chr(256 + i) for i, byte in enumerate(b for b in range(256) if b not in letter)}
    ids = []
    for piece in regex.findall(r'\p{N}|\P{N}+', text):
        for word in regex.findall(GPT2_WORDS, piece):
            parts = [letter[byte] for byte in word.encode()]
            while len(parts) > 1:
                pairs = list(zip(parts, parts[1:], strict=False))
                best = min(pairs, key=lambda pair: ranks.get(pair, math.inf))
                if best not in ranks:
                    break
                at = pairs.index(best)
                parts[at : at + 2] = [''.join(best)]
            ids += [vocabulary[part] for part in parts]
    return ids


def test_a_thousand_mixed_lines_have_the_ids_of_transformers_and_of_plain_byte_pair_encoding(
    smollm2_source, theirs, original
):
    lines, ours, file = mixed_lines(), smollm2_source.tokenizer, smollm2_source.weights
    vocabulary = {token: id_ for id_, token in enumerate(file.field('tokenizer.ggml.tokens'))}
    ranks = {tuple(merge.split(' ')): i for i, merge in enumerate(file.field('tokenizer.ggml.merges'))}
    ids = ours(lines)['input_ids']
    for line, found in zip(lines, ids, strict=True):
        assert found == byte_pair_ids(line, vocabulary, ranks), line
        assert found == original.encode(line).ids, line
        assert ours.decode(found) == line
    # Of a GGUF file transformers attaches a space to a digit, where SmolLM2's tokenizer.json and llama.cpp do not.
    lines = [regex.sub(r'\s+(?=\p{N})', '', line) for line in lines]
    assert ours(lines)['input_ids'] == theirs(lines)['input_ids']
    assert len({id_ for found in ids for id_ in found}) > 300


@pytest.mark.parametrize(
    ('text', 'tokens'),
    [
        ('a  12', ['a', 'ĠĠ', '1', '2']),
        ('\n   345', ['ĊĠĠĠ', '3', '4', '5']),
        ('cup 7', ['cup', 'Ġ', '7']),
    ],
)
def test_digits_stand_alone_and_take_no_space_before_them(smollm2_source, text, tokens):
    assert smollm2_source.tokenizer.tokenize(text) == tokens


def test_special_tokens_and_template_are_the_files(smollm2_source, theirs):
    ours = smollm2_source.tokenizer
    assert (ours.bos_token, ours.eos_token, ours.pad_token) == ('<|im_start|>', '<|im_end|>', '<|im_end|>')
    assert ours.get_vocab() == theirs.get_vocab()
    assert len(ours) == smollm2_source.config.vocab_size
    assert ours('Hi')['input_ids'][0] != ours.bos_token_id  # add_bos_token is false in this file
    talk = [{'role': 'user', 'content': 'Hi'}]
    rendered = [t.apply_chat_template(talk, add_generation_prompt=True, tokenize=False) for t in (ours, theirs)]
    assert rendered[0] == rendered[1]
    assert rendered[0].endswith('<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n')


def test_a_saved_tokenizer_comes_back_the_same(smollm2_source, tmp_path):
    smollm2_source.tokenizer.save_pretrained(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "llama"}')  # transformers has opinions on these
    again = tokenizer.from_folder(tmp_path)
    for text in (*TEXTS.values(), *AFTER_SPACES.values()):
        assert again(text)['input_ids'] == smollm2_source.tokenizer(text)['input_ids']
    assert again.get_vocab() == smollm2_source.tokenizer.get_vocab()
    assert again.special_tokens_map == smollm2_source.tokenizer.special_tokens_map
    assert again.chat_template == smollm2_source.tokenizer.chat_template


def file(**fields):
    """A GGUF file's fields without the file."""
    values = {
        'model': 'gpt2',
        'pre': 'llama-bpe',
        'tokens': ['<s>', '<think>', 'a', 'b', 'Ġ', 'Ġa', 'ab', 'abb', '1'],
        'token_type': [3, 4, 1, 1, 1, 1, 1, 1, 1],
        'merges': ['Ġ a', 'a b'],
        'bos_token_id': 0,
    } | fields
    return types.SimpleNamespace(
        path='m.gguf',
        field=lambda key, default=None: values.get(key.removeprefix('tokenizer.ggml.'), default),
        config=types.SimpleNamespace(max_position_embeddings=128),
    )


def test_llama_3_takes_a_word_that_is_a_token_whole_and_begins_with_bos():
    ids = tokenizer.from_gguf(file())('abb a')['input_ids']
    assert ids == [0, 7, 5]
    assert tokenizer.from_gguf(file(pre='gpt-2'))('abb a')['input_ids'] == [6, 3, 5]


def test_llama_3s_words_are_those_of_its_own_split():
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    assert GGUF_PRE_TOKENIZER_SPLITS['llama-bpe'] == tokenizer._LLAMA3_WORDS


def test_bos_is_still_added_after_saving(tmp_path):
    tokenizer.from_gguf(file()).save_pretrained(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "llama"}')
    assert tokenizer.from_folder(tmp_path)('abb a')['input_ids'] == [0, 7, 5]


def test_user_defined_tokens_stay_whole_but_are_no_special_tokens():
    built = tokenizer.from_gguf(file(add_bos_token=False))
    assert built('a<think>b<s>')['input_ids'] == [2, 1, 3, 0]
    assert built.decode([2, 1, 3, 0], skip_special_tokens=True) == 'a<think>b'


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'model': 'llama'}, "tokenizer.ggml.model 'llama' is not read"),
        ({'pre': 'tekken'}, "tokenizer.ggml.pre 'tekken' is not known; smollm, gpt-2 and llama-bpe are"),
        ({'pre': None}, 'tokenizer.ggml.pre None is not known'),
    ],
)
def test_other_tokenizers_are_refused_by_name_with_the_way_out(fields, message):
    with pytest.raises(InputError, match=f'm.gguf: {message}.*set base.tokenizer'):
        tokenizer.from_gguf(file(**fields))


def test_the_tokenizer_of_a_folder_is_transformers_own(saved):
    assert isinstance(tokenizer.from_folder(saved[0]), transformers.PreTrainedTokenizerBase)
