"""Lengths, manner and doubles of instruction data."""

import pytest

from jaxshift.advise import profile

PAIRS = [
    ('What is red?', 'It is a colour.'),
    ('what is  red', 'It is a colour'),  # the same, but for capitals, blanks and marks
    ('What is red?', 'A wavelength.'),
    ('What is blue?', 'It is a colour.'),
    ('List two.', 'Here:\n- one\n- two'),
    ('Code?', '# Code\n```\nx\n```'),
]


def test_doubles_are_counted_apart():
    assert profile.doubles(PAIRS) == {
        'records': 1, 'questions_with_several_answers': 1, 'answers_of_several_questions': 1,
    }  # fmt: skip


def test_lengths_and_manner():
    found = profile.profile(PAIRS)
    assert found['answers']['words']['greatest'] == 5
    assert found['questions']['characters']['median'] == 12
    assert found['manner']['list'] == found['manner']['heading'] == found['manner']['code'] == pytest.approx(100 / 6)
    assert next(iter(found['manner']['openers'].items())) == ('it is', 50)
