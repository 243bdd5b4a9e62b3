"""The section of borrowing, from made-up figures."""

import copy
import dataclasses

import pytest

from jaxshift.report import borrowing, results
from jaxshift.store.paths import Workdir


def share(mean, spread=0.02):
    return {'mean': mean, 'interval': None if mean is None else [mean - spread, mean + spread]}


def beside(tuning, null):
    return {
        'n': 400,
        'prompts': 20,
        'tuning': share(tuning),
        'null': share(null),
        'difference': share(None if tuning is None else tuning - null),
    }


FOUND = {
    'encoder': '',
    'null_is': 'records of file:other.json',
    'rows': 90,
    'all_rows': 100,
    'tokens': 5000,
    'null_rows': 1,
    'null_tokens': 4990,
    'left_out': {'responses': 0, 'copies': 0, 'asked': 2, 'null_refused': 0, 'null_copies': 0, 'null_asked': 0}
    | {'null_trained': 1200},
    'least': 5,
    'covered': beside(0.4, 0.1) | {'p': 0.001},
    'ngrams': {size: beside(0.9, 0.8) for size in '123'},
    'words': {'rule': 'letters'} | {name: beside(0.75, 0.5) for name in ('shifted', 'marginal', 'unshifted')},
    'borrowed': {'rate': 0.05, 'suspected': 30, 'by_chance': 3, 'least_chance': 0.04, 'phrases': 21},
    'span_tokens': {
        'borrowed': {'n': 60, 'shifted_or_marginal': share(0.89)},
        'spans': {'n': 90, 'shifted_or_marginal': share(0.5)},
        'elsewhere': {'n': 310, 'shifted_or_marginal': share(0.2)},
    },
    'strata': [{'by': 'length', 'stratum': '5 to 7 tokens', **beside(3.0, 1.0), 'p': 0.02}],
    'examples': [
        {
            'example_id': f'q{number}',
            'before': 'he',
            'span': f'says <b> {number}',
            'after': 'again',
            'beyond_null': number,
            'chance': 1 / number,
            'rows': 2,
            'row_by_bm25': {'id': 'r1', 'text': 'the row'},
            'row_by_embedding': {'id': 'r2', 'text': 'another'},
        }
        for number in range(1, 9)
    ],
}
PROOF = {
    'rows': 100, 'left_out': 10, 'phrases': 4, 'n': 48, 'as_trained': share(-0.2), 'change_suspected': share(-0.51),
    'change_random': share(-0.03), 'difference': share(-0.48), 'between_controls': share(0.01),
}  # fmt: skip


@pytest.fixture
def found(workdir):
    return results.load(Workdir(workdir))


def sections(found, **explained):
    return borrowing.section(dataclasses.replace(found, explained={'lora': {}, **explained}))


def test_no_run_no_section(found):
    assert sections(found) is None


def test_words_and_tables_say_the_figures_beside_their_null(found):
    section = sections(found, full={'borrowing': FOUND, 'borrowing.retrained': PROOF})
    null, run, proof = section.sentences
    assert 'records of file:other.json. 90 rows of the tuning data (100 in all)' in null
    assert 'held against 1 row of 4,990 tokens' in null
    assert 'Run full: 40.0 % [38.0, 42.0] of the tokens' in run
    assert 'p = 0.00100' in run
    assert 'The p of a length is that of spans at least as long, so the first is that of all spans;' in null
    assert 'Rows are ranked by BM25, and by mean hidden states of the base.' in null
    assert '75.0 % [73.0, 77.0] occur in the tuning data and 50.0 % [48.0, 52.0] in the null corpus' in run
    assert 'Left out are 2 rows that answer a prompt, 1,200 of its rows that stand in the tuning data too.' in null
    assert 'Of 30 phrases beyond the null corpus 21 are called borrowed; at most 5 % of these are expected to be' in run
    assert 'Shifted or marginal are 89.0 % [87.0, 91.0] of the tokens in borrowed spans, 20.0 %' in run
    assert 'without the 10 rows that 4 suspected phrases came from' in proof
    assert '-0.510 [-0.530, -0.490] nats' in proof
    assert 'this is what these rows did to one training' in proof
    first = section.tables['borrowing'][0]
    assert (first['tuning'], first['null'], first['p']) == (40, 10, 0.001)
    assert first['difference'] == pytest.approx(30)
    assert section.tables['borrowing_retrained'][0]['difference'] == -0.48
    assert [row['chance'] for row in section.tables['borrowing_spans']] == [1 / n for n in range(5, 0, -1)]
    assert section.tables['borrowing_spans'][0]['response'] == 'he ⟦says <b> 5⟧ again'


def test_what_is_not_known_is_a_dash_and_nothing_called_borrowed_is_said(found):
    none = copy.deepcopy(FOUND)
    none['words']['shifted'] = beside(None, None) | {'n': 0}
    none['borrowed'] |= {'phrases': 0, 'suspected': 3, 'least_chance': 0.25}
    none['span_tokens']['borrowed']['n'] = 0
    none['examples'] = []
    none_left_out = {'rows': 9, 'left_out': 0, 'phrases': 0, 'n': 0}
    section = sections(found, full={'borrowing': none, 'borrowing.retrained': none_left_out})
    assert section.sentences[2].endswith('no suspected phrase stands in as few as a tenth of the 9 rows.')
    assert 'shifted token – occur' in section.sentences[1]
    none_called = 'Of 3 phrases beyond the null corpus none is called borrowed, the least chance of one is 0.250; '
    assert f'{none_called}of fewer than 20 none can be. Shifted or marginal are 50.0 %' in section.sentences[1]
    assert set(section.tables) == {'borrowing', 'borrowing_strata'}


def test_a_difference_that_may_be_none_proves_nothing(found):
    unclear = {**PROOF, 'difference': share(-0.01)}
    *_, proof = sections(found, full={'borrowing': FOUND, 'borrowing.retrained': unclear}).sentences
    assert 'the interval holds 0, so nothing is proved' in proof
    assert 'is what these rows did' not in proof


def test_runs_of_other_corpora_have_theirs_named(found):
    other = {**FOUND, 'null_is': 'rows of its own', 'encoder': 'a-model'}
    other['left_out'] = {**FOUND['left_out'], 'responses': 4}
    null, _, run = sections(found, full={'borrowing': FOUND}, treated={'borrowing': other}).sentences
    assert 'Of full: It is records of file:other.json.' in null
    assert 'Of treated: It is rows of its own.' in null
    assert null.count('and by mean hidden states of the base.') == null.count('and by embeddings of a-model.') == 1
    assert '4 responses without a word, or without records, are left out.' in run


def test_a_run_tuned_elsewhere_may_never_have_seen_the_data(found):
    found.config['runs']['theirs'] = {'method': 'given'}
    section = sections(found, full={'borrowing': FOUND}, theirs={'borrowing': FOUND})
    assert [('tuned elsewhere' in each) for each in section.sentences] == [False, False, True]


def test_every_run_has_a_place_in_the_figure(found):
    section = sections(found, full={'borrowing': FOUND}, full_best={'borrowing': FOUND})
    figure, _ = section.figures['borrowing']
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ['full', 'full_best']
    # Two runs, each with a mean and the ends of its interval, for the null corpus and for the tuning data.
    drawn = sorted(round(float(line.get_xdata()[0])) for line in first.lines)
    assert drawn == sorted(2 * [8, 10, 12, 38, 40, 42])
