"""Tokens as text, where a tokenizer divides words, spaces and characters."""

import numpy as np
import pytest
from planted import tokens as records
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from jaxshift.causes import categories, style_tokens, words
from jaxshift.causes.categories import CONTENT, FUNCTIONAL, LAYOUT, PUNCTUATION
from jaxshift.explain import pieces

MIXED = 'Le café naïve, 東京 へ行く。\n👩‍👩‍👧 is e\u0301 \ufffd 42'


def metaspace():
    """A tokenizer that, as Llama's, drops the space before the first word when it decodes, and writes rare bytes."""
    letters = ['▁a', '▁cat', 's', '▁un', 'likely', '.', '▁', 'a', *(f'<0x{byte:02X}>' for byte in range(256))]
    backend = Tokenizer(models.BPE({word: i for i, word in enumerate(letters)}, [], fuse_unk=True, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(' ', 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend), letters


def byte_level(*merged):
    """A tokenizer of bytes, some of them merged in this order, and of one special token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate([*alphabet, *(''.join(pair) for pair in merged)])}
    backend = Tokenizer(models.BPE(vocabulary, list(merged)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder, backend.post_processor = decoders.ByteLevel(), processors.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token='<end>')


def tokens(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)['input_ids']


def test_pieces_keep_the_space_before_a_word():
    found, letters = metaspace()
    assert found.decode([1]) == 'cat'
    assert pieces.reader(found)(range(6)) == [letter.replace('▁', ' ') for letter in letters[:6]]


def test_pieces_of_a_tokenizer_of_words_have_a_space(tokenizer):
    assert pieces.reader(tokenizer)([4, 8]) == [' capital', ' Paris']


def test_pieces_of_a_real_tokenizer_make_the_text(smollm2_source):
    text = f' However, the "un-likely" answer:\n\n\tis {MIXED}'
    found = pieces.reader(smollm2_source.tokenizer)(tokens(smollm2_source.tokenizer, text))
    assert ''.join(found) == text
    assert '' in found


def test_a_character_stands_in_the_first_of_the_tokens_that_it_is_divided_among():
    found = byte_level()
    text = tokens(found, MIXED)
    expected = [char if not i else '' for char in MIXED for i in range(len(char.encode()))]
    assert pieces.reader(found)(text) == expected
    # A token may end one character and begin the next: E6 9D, B1 E4, BA AC are 東京 with its second letter cut.
    east, capital = ([found.convert_ids_to_tokens([token])[0] for token in tokens(found, char)] for char in '東京')
    ends = byte_level(tuple(east[:2]), (east[2], capital[0]), tuple(capital[1:]))
    assert len(tokens(ends, '東京')) == 3
    assert pieces.reader(ends)(tokens(ends, 'a東京')) == ['a', '東', '京', '']


def test_bytes_of_sentencepiece_are_one_character():
    found, letters = metaspace()
    ids = [letters.index(f'<0x{byte:02X}>') for byte in 'é東'.encode()]
    assert pieces.reader(found)([2, *ids, 5]) == ['s', 'é', '', '東', '', '', '.']


@pytest.mark.parametrize(('cut', 'expected'), [(1, ['東', '', '', '\ufffd']), (2, ['東', '', '', '\ufffd', ''])])
def test_a_character_that_is_cut_off_is_begun_by_its_first_token(cut, expected):
    found = byte_level()
    assert pieces.reader(found)(tokens(found, '東京')[: 3 + cut]) == expected


def test_words_of_divided_letters_are_those_of_the_whole_text_and_begin_in_their_first_token():
    found = byte_level()
    ids = [*tokens(found, MIXED), found.eos_token_id, *tokens(found, ' end')]
    (said,) = pieces.spoken(found, [np.array(ids)])
    begun = words.begun(said)
    assert [word for _, word in begun] == ['le', 'café', 'naïve', '東京', 'へ行く', 'is', 'e', '42', 'end']
    assert {word for _, word in begun} == words.vocabulary([found.decode(ids, skip_special_tokens=True)])
    places = [len(MIXED[: MIXED.index(word)].encode()) for word in ('café', 'naïve', '東京')]
    assert [at for at, _ in begun][1:4] == places


def test_each_token_of_a_divided_character_has_the_category_of_its_word():
    found = byte_level()
    ids = tokens(found, 'é. The 東\n👍')
    kinds = categories.of_tokens(pieces.reader(found)(ids), [False] * len(ids)).tolist()
    word = [CONTENT] * 2 + [PUNCTUATION, LAYOUT] + [FUNCTIONAL] * 3 + [LAYOUT] + [CONTENT] * 3
    assert kinds == [*word, LAYOUT, *[PUNCTUATION] * 4]
    assert (
        categories.of_tokens(pieces.reader(found)(tokens(found, 'a 東')[:4]), [False] * 4).tolist()[2:] == [CONTENT] * 2
    )


def test_a_choice_that_ends_a_divided_character_has_the_category_of_its_word():
    found = byte_level()
    said = tokens(found, 'é. 東')
    table = records({'a': [(token, 1) for token in said]}, chosen=[*said[:-1], tokens(found, '杲')[-1]])
    assert style_tokens.kinds(table, pieces.reader(found), set()).tolist()[-3:] == [CONTENT] * 3
