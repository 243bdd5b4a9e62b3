"""Words of token ids, and which of them an answer alone has to know."""

import pytest

from jaxshift.advise import words
from jaxshift.advise.words import CONTENT, SPECIFIC, STYLE

TEXT = "However, the Zürich-based Drumlen valve (built 1743) isn't “made” of vernite; 中文 is. "


def test_words_of_real_tokens_are_those_of_the_text(smollm2_source):
    tokenizer = smollm2_source.tokenizer
    ids = tokenizer(TEXT, add_special_tokens=False)['input_ids']
    found = words.reader(tokenizer)(ids)
    assert [word.start for word in found] == [0, *(word.stop for word in found[:-1])]
    assert found[-1].stop == len(ids)
    said = [word.text for word in found if word.text.isascii()]
    assert list(filter(None, said)) == [each for each in words.spoken(TEXT) if each.isascii()]


def test_the_end_of_an_answer_says_nothing(smollm2_source):
    tokenizer = smollm2_source.tokenizer
    ids = [*tokenizer(' vernite', add_special_tokens=False)['input_ids'], tokenizer.eos_token_id]
    found = words.reader(tokenizer)(ids)
    assert [word.text for word in found] == ['vernite', '']
    assert words.kinds(found, [], ()) == [SPECIFIC, STYLE]


def test_every_token_of_a_word_vocabulary_is_a_word(tokenizer):
    ids = tokenizer('the capital of France is Paris', add_special_tokens=False)['input_ids']
    assert [word.text for word in words.reader(tokenizer)(ids)] == ['the', 'capital', 'of', 'france', 'is', 'paris']


def test_specific_is_what_the_question_does_not_say_nor_others_nor_the_answer_before(tokenizer):
    ids = tokenizer('the capital of France is Paris Paris', add_special_tokens=False)['input_ids']
    found = words.reader(tokenizer)(ids)
    assert words.kinds(found, ['france'], ()) == [STYLE, SPECIFIC, STYLE, CONTENT, STYLE, SPECIFIC, CONTENT]
    assert words.kinds(found, ['france'], {'capital'})[1] == CONTENT


@pytest.mark.parametrize(('texts', 'found'), [(100, {'said'}), (20, {'said'})])
def test_common_is_what_more_than_a_twentieth_says_and_more_than_two(texts, found):
    many = ['said' for _ in range(max(3, texts // 20 + 1))] + ['rarely rarely'] * (texts // 20)
    many += [f'word{i}' for i in range(texts - len(many))]
    assert words.common(many) == found
