import pytest
from made_up import kl_table, run_row, two_runs

from jaxshift.report import findings, tables
from jaxshift.report.wording import number


@pytest.mark.parametrize(('scale', 'said'), [(3.0, 'agrees'), (1.0, 'no clear difference'), (0.3, 'contradicts')])
def test_the_sentence_about_a_pair_says_what_the_interval_says(scale, said):
    rows, tokens = two_runs(scale)
    (pair,) = tables.pairs(rows, tokens, 200, 0)
    assert pair['why'] == 'same learning rate and closest final loss'
    ratio = tokens['full']['kl_tuned_base'].to_numpy().mean() / tokens['lora']['kl_tuned_base'].to_numpy().mean()
    assert pair['ratio'] == pytest.approx(ratio, rel=1e-5)
    sentences = findings.sentences(rows, [pair], {}, [])
    assert said in sentences[0]
    assert f'{number(ratio)} times' in sentences[0]


def test_a_single_given_run_has_findings_too():
    row = run_row('tuned', 'given', None, None, 0.2)
    assert tables.pairs([row], {'tuned': kl_table(1, 0)}, 100, 0) == []
    assert 'tuned 90.0 / 7.0 / 3.0' in findings.sentences([row], [], {}, [])[0]


def test_comparisons_that_disagree_are_said_to():
    rows = [run_row('lora', 'lora', 2e-3, 0.9, 0.1), run_row('full', 'full', 2e-3, 0.2, 0.5),
            run_row('full_best', 'full', 3e-4, 0.9, 0.1)]  # fmt: skip
    tokens = {row['run']: kl_table(row['kl_tuned_base'], 0) for row in rows}
    pairs = tables.pairs(rows, tokens, 200, 0)
    assert len(pairs) == 2
    said = 'depends on how the two are made comparable'
    assert any(said in line for line in findings.sentences(rows, pairs, {}, []))
    assert not any(said in line for line in findings.sentences(rows, pairs[:1], {}, []))


def test_one_prompt_is_no_plural():
    rows, tokens = two_runs(3.0)
    tokens = {run: table.slice(0, 5) for run, table in tokens.items()}
    pairs = tables.pairs(rows, tokens, 200, 0)
    assert '; 1 prompt. Too few prompts for an interval.' in findings.sentences(rows, pairs, {}, [])[0]


def test_right_answers_come_with_the_number_of_questions_of_each_run():
    truths = [{'run': run, 'name': 'new_fact_accuracy', 'value': 0.5, 'low': 0.25, 'high': 0.75, 'n': n}
              for run, n in (('lora', 36), ('full', 20))]  # fmt: skip
    assert findings.sentences([], [], {}, truths)[1:] == [
        'Right answers to new-fact questions, with 95 % intervals: lora 50.0 % of 36 (25.0 to 75.0), full 50.0 % of 20 '
        '(25.0 to 75.0).'
    ]
