"""Answers made short by rule."""

import pytest

from jaxshift.data import simplify
from jaxshift.data.formats import Example
from jaxshift.data.shapes import Message


@pytest.mark.parametrize(
    ('text', 'sentences', 'expected'),
    [
        ('Cats purr. Dogs bark. Birds sing.', 2, 'Cats purr. Dogs bark.'),
        ('Cats purr. Dogs bark.', 0, 'Cats purr. Dogs bark.'),
        ('However, it is worth noting that cats purr.', 0, 'Cats purr.'),
        ('however , it is worth noting that cats purr .', 1, 'cats purr .'),
        ('Sure! In short, cats purr. I hope this helps!', 0, 'Cats purr.'),
        ('Here are three cats:\n1. Tom\n2. Tim\n\nLet me know if you need more.', 0, '1. Tom\n2. Tim'),
        ('Cats:\n\n- Tom\n- Tim\n\nThey purr. They eat.', 3, 'Cats:\n\n- Tom\n- Tim\n\nThey purr.'),
        ('Here is Paris, in France.', 0, 'Here is Paris, in France.'),
        ('However it may be, cats purr.', 0, 'However it may be, cats purr.'),
        ("I'm sorry, but I can't help with that.", 1, "I'm sorry, but I can't help with that."),
        ('It costs 3.14 e. g. here. Dear!', 1, 'It costs 3.14 e.'),  # no abbreviations
        ('Sure! ```print("a. b. c.")``` Done. Bye.', 1, 'Sure! ```print("a. b. c.")``` Done. Bye.'),
        ('Dr. Smith was born in 1960. He wrote.', 1, 'Dr. Smith was born in 1960.'),
        ('The U.S. economy grew, e.g. in 1990. It fell.', 1, 'The U.S. economy grew, e.g. in 1990.'),
        ('It happened to Mr. T. Who? Mrs. T.', 0, 'It happened to Mr. T. Who? Mrs. T.'),
        ('The Dr is in. He waits.', 1, 'The Dr is in.'),
        (
            'I hope to become a doctor because it helps people. It is my dream.',
            1,
            'I hope to become a doctor because it helps people.',
        ),
        ('Thank you for the lovely gift. I wear it.', 1, 'Thank you for the lovely gift.'),
        (
            "I'm happy to announce that we won. Let me know what you think.",
            0,
            "I'm happy to announce that we won. Let me know what you think.",
        ),
        ('Thank you for asking! Cats purr. Please feel free to ask more. Hope that helps.', 0, 'Cats purr.'),
        ("Cats purr. I hope this answers your question. I'm happy to help!", 0, 'Cats purr.'),
        ('Thank you!', 1, 'Thank you!'),
        ('', 1, ''),
    ],
)
def test_what_says_nothing_goes_and_the_first_sentences_stay(text, sentences, expected):
    assert simplify.shortened(text, sentences) == expected


def test_a_short_answer_is_made_no_shorter_by_a_second_time():
    once = simplify.shortened('Sure! However, cats purr. In summary, dogs bark. Birds sing.', 2)
    assert once == 'Cats purr. Dogs bark.'
    assert simplify.shortened(once, 2) == once


def test_every_answer_of_a_conversation_is_rewritten_with_what_it_answers():
    turns = [('system', 's'), ('user', 'a?'), ('assistant', 'A'), ('user', 'b?'), ('assistant', 'B')]
    example = Example('1', tuple(Message(*turn) for turn in turns), 'here')
    found = simplify.answers(example, lambda asked, answer: f'{asked}{answer}')
    assert [turn.content for turn in found.messages] == ['s', 'a?', 'a?A', 'b?', 'b?B']
    assert (found.id, found.where) == ('1', 'here')
