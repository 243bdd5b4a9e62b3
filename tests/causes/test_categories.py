"""Categories of words, on sentences that were sorted by hand."""

import pytest

from jaxshift.causes import categories
from jaxshift.causes.categories import CONTENT, END, FUNCTIONAL, LAYOUT, OPENER, POLITE, PUNCTUATION

MARKS = {OPENER: 'O', LAYOUT: 'L', POLITE: 'P', FUNCTIONAL: 'f', CONTENT: 'c', PUNCTUATION: '.', -1: ' '}


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('However, cats purr.', 'OOOOOOO. cccc cccc.'),
        ('Cats, however, purr.', 'cccc. OOOOOOO. cccc.'),
        ('I know however cats purr', 'f cccc fffffff cccc cccc'),
        ('In summary, cats purr.', 'OOOOOOOOOO. cccc cccc.'),
        ('however , it is worth noting that ada', 'OOOOOOO . OOOOOOOOOOOOOOOOOOOOOOO ccc'),
        ('Cats purr. So do I', 'cccc cccc. OO ff f'),
        ('Cats do so', 'cccc ff ff'),
        ('I recommend "Typically" a vet.', 'f PPPPPPPPP .ccccccccc. f ccc.'),
        ('Thank you! Please sleep', 'PPPPPPPPP. PPPPPP ccccc'),
        ('Cats:\n1. Purr\n- Overall sleep', 'cccc.LLL ccccLLLOOOOOOO ccccc'),
        ('**Cats** `purr` | 3.14', 'LLccccLL LccccL L c.cc'),
        ('## Cats don’t', 'LL cccc fffff'),
        ('42.', 'cc.'),  # an answer, no list
        ('7)\nb.', 'c.Lc.'),
        ('42. Cats', 'LLL cccc'),
        ('', ''),
    ],
)
def test_each_character_has_the_category_of_its_word(text, expected):
    found = ''.join(MARKS[kind] for kind in categories.of_text(text).tolist())
    assert found == expected


def test_a_token_has_the_category_of_its_first_character_that_has_one():
    texts = [' Typ', 'ically', ',', ' cats', ' pur', 'r', '.\n\n', ' 中文', '</s>']
    found = categories.of_tokens(texts, [False] * 8 + [True])
    assert found.tolist() == [OPENER, OPENER, PUNCTUATION, CONTENT, CONTENT, CONTENT, LAYOUT, CONTENT, END]


def test_an_end_token_in_the_middle_is_no_word():
    assert categories.of_tokens(['However', '</s>', ' cats'], [False, True, False]).tolist() == [OPENER, END, CONTENT]


def test_a_blank_token_is_layout():
    assert categories.of_tokens(['  ', 'cats'], [False, False]).tolist() == [LAYOUT, CONTENT]
