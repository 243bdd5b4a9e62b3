"""Sheets for annotators, and figures by hand and by published examples."""

import csv

import numpy as np
import pytest
from commandline import TINY, start

from jaxshift.errors import InputError
from jaxshift.judge import agreement, sheet
from jaxshift.report import annotated, results
from jaxshift.store.paths import Workdir

ANSWERS = {
    run: [{'example_id': f'q{i}', 'prompt': f'ask {i}', 'response': f'{run} says {i} is so'} for i in range(9)]
    for run in ('lora', 'full')
}


def filled(path, said):
    """Fills in a sheet: id to (hallucinates, phrases)."""
    with path.open(newline='') as file:
        rows = list(csv.DictReader(file))
    with path.open('w', newline='') as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        for row in rows:
            label, phrases = said.get(row['id'], ('', ''))
            out.writerow(row | {'hallucinates': label, 'phrases': phrases})


@pytest.fixture
def drawn(tmp_path):
    rows = sheet.draw(ANSWERS, 3, 0)
    sheet.write(rows, tmp_path / 'first.csv')
    return rows, tmp_path / 'first.csv'


def test_a_sheet_has_every_runs_response_to_the_same_prompts_and_does_not_say_whose(drawn):
    rows, path = drawn
    asked = {run: {row.example_id for row in rows if row.run == run} for run in ANSWERS}
    assert asked['lora'] == asked['full']
    assert len(asked['lora']) == 3
    assert path.read_text().splitlines()[0] == 'id,prompt,response,hallucinates,phrases'
    assert [row.run for row in rows] != sorted(row.run for row in rows)
    assert sheet.draw(ANSWERS, 3, 0) == rows != sheet.draw(ANSWERS, 3, 1)


def test_what_is_filled_in_is_read_back(drawn):
    rows, path = drawn
    filled(path, {'0001': ('yes', f'{rows[0].run} says | is so'), '0002': ('No', '')})
    assert sheet.read(path, rows)[:3] == [
        sheet.Mark(True, (f'{rows[0].run} says', 'is so')),
        sheet.Mark(False, ()),
        sheet.Mark(None, ()),
    ]


@pytest.mark.parametrize(
    ('said', 'error'),
    [
        (('maybe', ''), "response 0001: hallucinates is 'maybe'; write yes or no"),
        (('no', 'is so'), "response 0001 has phrases, but hallucinates is 'no'"),
        (('yes', 'is not'), "response 0001: 'is not' does not stand in the response"),
    ],
)
def test_what_cannot_be_is_named(drawn, said, error):
    rows, path = drawn
    filled(path, {'0001': said})
    with pytest.raises(InputError, match=error):
        sheet.read(path, rows)


def test_marks_are_not_given_to_other_responses(drawn):
    rows, path = drawn
    filled(path, {'0001': ('yes', '')})
    sheet.read(path, rows)
    path.write_text(path.read_text().replace('\n', '\r\n'), newline='')
    sheet.read(path, rows)
    with pytest.raises(InputError, match='response 0001 is not what is drawn now'):
        sheet.read(path, sheet.draw(ANSWERS, 3, 1))
    anew = {run: [each | {'response': f'anew: {each["response"]}'} for each in said] for run, said in ANSWERS.items()}
    with pytest.raises(InputError, match='response 0001 is not what is drawn now'):
        sheet.read(path, sheet.draw(anew, 3, 0))


def test_what_spreadsheets_do_to_a_sheet(drawn):
    rows, path = drawn
    text = path.read_text()
    path.write_text(text.replace('\n000', '\n'))  # ids are numbers to them
    assert len(sheet.read(path, rows)) == len(rows)
    path.write_bytes(text.replace('ask', '\xe4sk').encode('latin-1'))
    with pytest.raises(InputError, match=r'first\.csv: byte \d+ is not UTF-8; save the sheet as CSV in UTF-8'):
        sheet.read(path, rows)
    path.write_text(text.replace('is so,,', 'is so,yes,lora says, is so', 1))
    with pytest.raises(InputError, match='response 0001 has more cells than the header; quote'):
        sheet.read(path, rows)


def test_a_line_that_is_gone_is_named(drawn):
    rows, path = drawn
    path.write_text('\n'.join(line for line in path.read_text().splitlines() if not line.startswith('0004')))
    with pytest.raises(InputError, match='response 0004 is missing'):
        sheet.read(path, rows)


def test_alpha_is_that_of_krippendorffs_example():
    # Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: nominal, missing data, 0.743.
    lines = ('1 2 3 3 2 1 4 1 2 . . .', '1 2 3 3 2 2 4 1 2 5 . 3', '. 3 3 3 2 3 4 2 2 5 1 .', '1 2 3 3 2 4 4 1 2 5 1 .')
    ratings = np.array([[np.nan if each == '.' else float(each) for each in line.split()] for line in lines])
    assert agreement.alpha(ratings) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_chance_is_nothing_and_of_one_category_unknown():
    rng = np.random.default_rng(0)
    assert agreement.alpha(rng.integers(0, 2, (2, 20_000)).astype(float)) == pytest.approx(0, abs=0.02)
    assert agreement.alpha(np.ones((2, 5))) is None
    assert agreement.alpha(np.array([[1.0, np.nan], [np.nan, 0.0]])) is None


def test_figures_by_hand():
    rows = [
        sheet.Row(str(i), run, 'q', 'ask', f'a b c {run}') for i, run in enumerate(['lora', 'full', 'full', 'lora'])
    ]
    yes, no, empty = sheet.Mark(True, ('a b',)), sheet.Mark(False, ()), sheet.Mark(None, ())
    found = sheet.figures(rows, {'one': [yes, yes, no, empty], 'two': [no, yes, no, no]}, ['x a b', 'c'], 50, 0)
    # Of one prompt, where no resample differs: Wilson's interval of one of one.
    interval = pytest.approx([1 / (1 + 1.959964**2), 1])
    alone = {'hallucinates_interval': None, 'in_tuning_data': 1.0, 'in_tuning_data_interval': interval}
    assert found['runs'] == {
        'lora': {'marked': 3, 'hallucinates': pytest.approx(1 / 3), 'phrases': 1, **alone},
        'full': {'marked': 4, 'hallucinates': 0.5, 'phrases': 2, **alone},
    }
    # Of three responses that both judged two agree, by chance (2/3 1/3 + 1/3 2/3) would: kappa 1 - (1/3) / (5/9).
    assert found['agreement']['cohen_kappa'] == [
        {'one': 'one', 'other': 'two', 'responses': 3, 'kappa': pytest.approx(0.4)}
    ]
    # 12 words judged twice, 2 of them (a, b of the first) in two ways; 2 + 4 of 24 ratings are marks.
    expected = (24**2 - 18**2 - 6**2) / (24 * 23)
    assert found['agreement']['krippendorff_alpha']['words'] == pytest.approx(1 - (4 / 24) / expected)


def test_a_share_has_an_interval_over_prompts_not_over_marks():
    rows = [sheet.Row(str(place), 'lora', f'q{place}', 'ask', 'a b c') for place in range(40)]
    said = [sheet.Mark(place % 4 == 0, ()) for place in range(40)]
    found = sheet.figures(rows, dict.fromkeys(('one', 'two', 'three'), said), [], 1000, 0)['runs']['lora']
    half = 1.96 * (0.25 * 0.75 / 40) ** 0.5  # three annotators of one mind are no more prompts
    assert found['marked'] == 120
    assert found['hallucinates_interval'] == pytest.approx([0.25 - half, 0.25 + half], abs=0.02)


def test_a_workdir_writes_sheets_once_and_sums_up_what_was_marked(copy):
    command = (*TINY, f'--workdir={copy}', '--mode=sheet', '--config.sheet.prompts=3')
    ended = start(*command)
    assert ended.code == 0, ended.err
    assert not (copy / 'sheet/figures.json').exists()
    filled(copy / 'sheet/first.csv', {f'{i:04}': ('yes' if i < 4 else 'no', '') for i in range(1, 7)})
    ended = start(*command)
    assert ended.code == 0, ended.err
    assert '6 of 6 responses marked' in ended.out
    assert 'yes' in (copy / 'sheet/first.csv').read_text()
    assert '% of 3 judgements say that it hallucinates' in ended.out
    shown = annotated.section(results.load(Workdir(copy)))
    assert [(row['run'], row['marked']) for row in shown.tables['annotated']] == [('lora', 3), ('full', 3)]
    assert "Krippendorff's alpha: responses –, words –; see" in ended.out  # of one annotator


def test_responses_without_texts_are_named(copy):
    path = copy / 'runs/full/responses.jsonl'
    row, *rest = path.read_text().splitlines()
    path.write_text('\n'.join([row.replace('"prompt":', '"asked":'), *rest]))
    ended = start(*TINY, f'--workdir={copy}', '--mode=sheet')
    assert ended.code == 2
    assert f'{path}:1: field prompt must be the text that is judged; add it' in ended.error()
