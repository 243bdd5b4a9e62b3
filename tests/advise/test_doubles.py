"""Records that say the same."""

from jaxshift.advise.doubles import doubles

PAIRS = [
    ('What is red?', 'It is a colour.'),
    ('what is  red', 'It is a colour'),  # the same, but for capitals, blanks and marks
    ('What is red?', 'A wavelength.'),
    ('What is blue?', 'It is a colour.'),
    ('What is green?', 'Something else.'),
]


def test_doubles_are_counted_apart():
    assert doubles(PAIRS) == {'records': 1, 'questions_with_several_answers': 1, 'answers_of_several_questions': 1}
    assert set(doubles(PAIRS[2:]).values()) == {0}
