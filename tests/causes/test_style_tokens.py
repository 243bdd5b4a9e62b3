"""Style tokens, on records where the style was planted, against loops and simulated rates."""

import math
from collections import Counter

import numpy as np
import pytest
from planted import tokens

from jaxshift.causes import style_tokens
from jaxshift.causes.categories import CATEGORIES, CONTENT, END, OPENER

TEXTS = {0: '</s>', 1: ' However', 2: ',', 3: ' cats', 4: ' purr', 5: ' the', 6: '.', 7: ' Typ', 8: 'ically'}
ENDS = {0}


def read(ids):
    return [TEXTS[each] for each in ids]


def planted(seed=0, prompts=40):
    """Openers that are always shifted, content that never is, and an end token that is every second time."""
    rng = np.random.default_rng(seed)
    return {
        f'q{i}': [
            (1, 9),
            (2, 1),
            *((int(token), 1 + int(token == 5)) for token in rng.integers(3, 6, 5)),
            (0, 4 * (i % 2) + 1),
        ]
        for i in range(prompts)
    }


def by_loop(responses):
    counts = {name: Counter() for name in ('chosen', 'shifted', 'marginal')}
    for rows in responses.values():
        for token, rank in rows:
            counts['chosen'][token] += 1
            counts['shifted'][token] += rank > 3
            counts['marginal'][token] += 1 < rank <= 3
    return counts


def test_counts_are_those_of_a_loop_and_the_order_is_by_shifted_then_marginal():
    responses = planted()
    table, counts = tokens(responses), by_loop(responses)
    rows, _ = style_tokens.of_tokens(table, style_tokens.kinds(table, read, ENDS), read, ENDS, 5)
    for row in rows:
        assert {name: row[name] for name in counts} == {name: counts[name][row['token_id']] for name in counts}
    assert [row['token'] for row in rows] == [' However', '</s>', ' the']
    assert [row['category'] for row in rows] == ['discourse opener', 'end of sequence', 'function word']
    assert [row['is_end'] for row in rows] == [False, True, False]
    assert [row['place_by_rate'] for row in rows] == [1, 2, None]  # `the` is marginal, never shifted


def test_a_token_that_was_chosen_seldom_has_no_place_by_rate_and_a_rate_near_the_mean():
    half = {f'half{i}': [(7, 1 + 8 * (i % 2))] for i in range(40)}  # a word that is shifted every second time
    responses = planted() | half | {'rare': [(8, 9), (0, 1)]}
    table = tokens(responses)
    rows, prior = style_tokens.of_tokens(table, style_tokens.kinds(table, read, ENDS), read, ENDS, 5)
    rare, often = ({row['token_id']: row for row in rows}[token] for token in (8, 1))
    assert rare['place_by_rate'] is None
    assert prior['mean'] < rare['shifted_rate'] < often['shifted_rate']
    mean, strength = prior['mean'], prior['strength']
    assert rare['shifted_rate'] == pytest.approx((1 + strength * mean) / (1 + strength))


def test_the_end_token_keeps_its_own_rate_and_moves_that_of_no_word():
    found = {}
    for rank in (1, 9):  # it is never shifted, and always
        table = tokens({name: [*rows[:-1], (0, rank)] for name, rows in planted().items()})
        found[rank] = style_tokens.of_tokens(table, style_tokens.kinds(table, read, ENDS), read, ENDS, 5)
    (without, prior_without), (with_end, prior_with) = found.values()
    assert prior_without == prior_with == {**prior_with, 'tokens': 5}
    rates = [{row['token']: row['shifted_rate'] for row in rows} for rows in (without, with_end)]
    assert rates[1].pop('</s>') == 1
    assert rates[0] == rates[1]


def test_the_prior_of_simulated_rates_is_found():
    rng = np.random.default_rng(0)
    chosen = rng.integers(5, 60, 4000)
    rates = rng.beta(0.2 * 8, 0.8 * 8, 4000)
    mean, strength = style_tokens.prior(chosen, rng.binomial(chosen, rates))
    assert mean == pytest.approx(0.2, abs=0.01)
    assert strength == pytest.approx(8, rel=0.1)


def test_smoothed_rates_are_nearer_to_the_simulated_ones_than_raw_rates():
    rng = np.random.default_rng(1)
    chosen, rates = rng.integers(1, 20, 2000), rng.beta(1, 9, 2000)
    shifted = rng.binomial(chosen, rates)
    found = style_tokens.smoothed(chosen, shifted, *style_tokens.prior(chosen, shifted))
    assert ((found - rates) ** 2).mean() < 0.5 * ((shifted / chosen - rates) ** 2).mean()


@pytest.mark.parametrize('shifted', [[0, 0, 0], [10, 10, 10], [5, 5, 5]])
def test_tokens_that_do_not_differ_have_the_pooled_rate(shifted):
    mean, strength = style_tokens.prior(np.full(3, 10), np.array(shifted))
    assert (mean, strength) == (shifted[0] / 10, math.inf)
    assert style_tokens.smoothed(np.full(3, 10), np.array(shifted), mean, strength).tolist() == [mean] * 3


def test_tokens_that_are_shifted_always_or_never_keep_their_rates():
    chosen, shifted = np.full(4, 1000), np.array([0, 1000, 0, 1000])
    found = style_tokens.smoothed(chosen, shifted, *style_tokens.prior(chosen, shifted))
    assert found == pytest.approx([0, 1, 0, 1], abs=1e-3)


def test_shares_of_categories_are_those_of_a_loop_with_the_end_token_and_without():
    responses = planted()
    table = tokens(responses)
    kind = style_tokens.kinds(table, read, ENDS)
    rows = style_tokens.of_categories(table, kind, 1, 200, 0)
    found = {(row['positions_counted'], row['shift_class'], row['category']): row for row in rows}
    flat = [(token, rank) for each in responses.values() for token, rank in each]
    shifted = [token for token, rank in flat if rank > 3]
    assert found['all', 'shifted', 'discourse opener']['percent'] == pytest.approx(
        100 * shifted.count(1) / len(shifted)
    )
    assert found['without_end', 'shifted', 'discourse opener']['percent'] == 100
    assert found['all', 'any', 'end of sequence']['positions'] == len(responses)
    assert ('without_end', 'any', 'end of sequence') not in found
    for which in ('all', 'without_end'):
        for name in ('shifted', 'marginal', 'any'):
            shares = {key[2]: row['percent'] for key, row in found.items() if key[:2] == (which, name)}
            style = shares.pop('style')
            assert sum(shares.values()) == pytest.approx(100)
            assert style == pytest.approx(sum(shares[each] for each in CATEGORIES[:3]))
    row = found['all', 'shifted', 'end of sequence']
    assert row['percent_low'] < row['percent'] < row['percent_high']


def test_where_nothing_is_shifted_there_is_no_share():
    table = tokens({'q': [(3, 1), (0, 1)]})
    rows = style_tokens.of_categories(table, style_tokens.kinds(table, read, ENDS), 1, 10, 0)
    assert {row['percent'] for row in rows if row['shift_class'] == 'shifted'} == {None}


def test_the_category_is_that_of_the_word_in_its_response():
    table = tokens({'a': [(7, 9), (8, 9), (2, 1), (3, 1)], 'b': [(3, 1), (1, 9), (3, 1)]}, chosen=[7, 8, 2, 1, 3, 1, 0])
    kind = style_tokens.kinds(table, read, ENDS)
    assert kind[:2].tolist() == [OPENER, OPENER]  # both pieces of "Typically"
    assert kind[3] == OPENER  # chosen where cats were said
    assert kind[5] == CATEGORIES.index('function word')  # "cats However cats" opens nothing
    assert [kind[4], kind[6]] == [CONTENT, END]


@pytest.mark.parametrize(
    ('said', 'place', 'choice', 'expected'),
    [
        (['I', ' like', ' cats', ' with', ' dogs'], 3, ' and', 'function word'),  # inside a sentence it opens nothing
        (['I', ' like', ' cats', '.', ' The'], 4, ' And', 'discourse opener'),
        (['Cats', '\n', 'the'], 2, 'so', 'discourse opener'),
        (['Cats', ' purr', ' loud'], 2, ' so', 'function word'),
        (['Typ', 'ing'], 1, 'ically', 'discourse opener'),  # a piece of a word has the kind of that word
        (['I', ' typ', 'ing'], 2, 'ically', 'content word'),
        (['Cats', '</s>'], 1, '\n', 'list and layout'),
        (['Cats', '.'], 1, '</s>', 'end of sequence'),
    ],
)
def test_a_choice_that_was_not_said_is_read_behind_what_was_said_before_it(said, place, choice, expected):
    words = ['</s>', *dict.fromkeys([*said, choice])]
    chosen = list(said)
    chosen[place] = choice
    ids = [[words.index(word) for word in each] for each in (said, chosen)]
    other = [(1, 1)]  # a response before it
    table = tokens({'a': other, 'b': [(token, 1) for token in ids[0]]}, chosen=[1, *ids[1]])
    assert CATEGORIES[style_tokens.kinds(table, lambda ids: [words[each] for each in ids], ENDS)[1 + place]] == expected


def test_a_context_is_what_stands_around_the_token_in_its_own_response():
    table = tokens({'a': [(3, 1), (1, 9), (4, 1)], 'b': [(1, 9), (3, 1)]})
    rows, _ = style_tokens.of_tokens(table, style_tokens.kinds(table, read, ENDS), read, ENDS, 1)
    found = style_tokens.contexts(table, rows, read)
    assert [(row['example_id'], row['before'], row['token'], row['after']) for row in found] == [
        ('a', ' cats', ' However', ' purr'),
        ('b', '', ' However', ' cats'),
    ]
    assert {(row['base_choice'], row['base_rank']) for row in found} == {(' However', 9)}


def test_the_end_token_has_no_contexts_and_a_frequent_token_three_spread_over_the_responses():
    table = tokens(planted())
    rows, _ = style_tokens.of_tokens(table, style_tokens.kinds(table, read, ENDS), read, ENDS, 5)
    found = style_tokens.contexts(table, rows, read)
    assert [row['token'] for row in found] == [' However'] * 3
    assert len({row['example_id'] for row in found}) == 3


def test_two_runs_divide_their_shifted_tokens():
    def rows(responses):
        table = tokens(responses)
        return style_tokens.of_tokens(table, style_tokens.kinds(table, read, ENDS), read, ENDS, 1)[0]

    lora = rows({'q': [(1, 9), (2, 1), (3, 2), (0, 9)]})
    full = rows({'q': [(1, 9), (2, 1), (3, 9), (3, 9), (0, 1)]})
    found = style_tokens.side_by_side(lora, full, ('lora', 'full'))
    assert {row['token']: (row['shifted_in'], row['shifted_lora'], row['shifted_full']) for row in found} == {
        ' However': ('both', 1, 1),
        ' cats': ('full', 0, 2),
        '</s>': ('lora', 1, 0),
    }
