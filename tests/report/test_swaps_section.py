"""The section of cross-sampling."""

from types import SimpleNamespace

from jaxshift.report import swaps


def point(host, by, budget, accuracy):
    return {
        'host': host, 'by': by, 'budget': budget, 'at': None, 'positions': 1000, 'swapped': budget,
        'changed': budget / 2, 'same_as_base': 0.25, 'same_as_tuned': 0.5,
        'answers': {'held_out_n': 192, 'held_out_accuracy': accuracy, 'new_fact_n': 0, 'new_fact_accuracy': None},
    }  # fmt: skip


POINTS = [
    point('base', 'nothing', 0.0, 1.0), point('base', 'js', 0.1, 0.7), point('base', 'lot', 0.1, 0.9),
    point('tuned', 'nothing', 0.0, 0.6), point('tuned', 'js', 0.1, 0.95), point('tuned', 'lot', 0.1, 0.65),
]  # fmt: skip


def found(points):
    return SimpleNamespace(
        explained={'full': {'swaps': {'prompts': 228, 'points': points}}}, config={'runs': {'full': {'method': 'full'}}}
    )


def test_the_sentences_hold_chosen_positions_against_drawn_ones():
    section = swaps.section(found(POINTS))
    assert section.sentences == [
        'full: the base alone answers 100 % of the held-out questions right; with tokens of full at the 10 % of '
        'positions where the two differ most (5 % of tokens changed) 70 %; at 10 % of positions by lot (5 % changed) '
        '90 %.',
        'full: the tuned model alone answers 60 % of the held-out questions right; with tokens of the base at the 10 % '
        'of positions where the two differ most (5 % of tokens changed) 95 %; at 10 % of positions by lot (5 % '
        'changed) 65 %.',
    ]
    row = section.tables['swaps'][1]
    assert (row['same_as_host'], row['same_as_donor']) == (0.25, 0.5)
    assert row['held_out_accuracy_low'] < 0.7 < row['held_out_accuracy_high']
    assert 'new_fact_accuracy' not in row


def test_outside_the_world_answers_are_held_against_those_of_the_other_model():
    section = swaps.section(found([{**each, 'answers': {}} for each in POINTS]))
    rest = (
        'at the 10 % of positions where the two differ most (5 % of tokens changed) 50 %; at 10 % of positions by lot '
        '(5 % changed) 50 %.'
    )
    assert section.sentences == [
        f'full: 50 % of the answers of the base are word for word those of full; with tokens of full {rest}',
        f'full: 25 % of the answers of the tuned model are word for word those of the base; with tokens of the base '
        f'{rest.replace("50 %", "25 %")}',
    ]
    titles = [axes.get_ylabel() for axes in section.figures['swaps'][0].axes]
    assert titles[0] == 'answers that are the donor’s own'
