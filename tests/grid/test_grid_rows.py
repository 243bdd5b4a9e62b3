"""What a run of a grid is called, and what its judge says."""

from dataclasses import replace

from grid_rows import row

from jaxshift.config import Run
from jaxshift.grid import results, sections

LORA = Run(method='lora', learning_rate=5e-5)
RUNS = {
    'lora': LORA,
    'full': replace(LORA, method='full'),
    'neftune': replace(LORA, neftune_alpha=5.0),
    'lora_high': replace(LORA, learning_rate=3e-4),
    'wide': replace(LORA, rank=32),
    'full_noisy': replace(LORA, method='full', neftune_alpha=5.0),
}


def test_plain_runs_differ_in_the_learning_rate_at_most():
    assert results.plain(RUNS) == {'lora', 'full', 'lora_high'}


def test_runs_have_the_name_under_which_the_paper_has_such():
    named = results.published_as(RUNS)
    assert named == {
        'lora': 'lora', 'full': 'full', 'neftune': 'neftune', 'lora_high': 'lora', 'wide': '', 'full_noisy': ''
    }  # fmt: skip


def test_scores_by_task_are_of_helpfulness():
    means = {'helpfulness': {'mean': 2.0}, 'depth': {'mean': 4.0}}
    groups = [
        {'field': 'task', 'value': 'math', 'aspects': means},
        {'field': 'topic', 'value': 'law', 'aspects': means},
    ]
    found = results.judged({'aspects': {'depth': {'mean': 3.0}}, 'groups': groups})
    assert found == {'score_depth': 3.0, 'task_score_math': 2.0}


def test_treatments_are_drawn_beside_plain_runs_at_their_rate():
    mean = row('lora', kl_tuned_base=0.1)
    of_other_data = mean | {'data': 'filtered', 'treated': 'world', 'size': 20}
    at_other_rate = row('lora_best', kl_tuned_base=0.2)
    (section,) = sections.treatments([mean, at_other_rate, of_other_data], '')
    (figure, _) = section.figures['treatments']
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ['lora, n = 60', 'filtered, n = 20']
    assert list(sections.treatments([mean, at_other_rate], '')) == []
