import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxshift.report import figures, training_figures
from jaxshift.shift.curves import Curve


def row(run, method, rate, **columns):
    means = dict.fromkeys(('kl_tuned_base', 'base_probability', 'sentence_start', 'sentence_rest'), 0.5)
    means |= {'base_rank': 1.5, 'unshifted': 80.0, 'marginal': 15.0, 'shifted': 5.0} | columns
    ends = {f'{name}_{end}': value for name, value in means.items() for end in ('low', 'high') if value is not None}
    return {'run': run, 'method': method, 'learning_rate': rate, **means, **ends}


ROWS = [row('lora $1', 'lora', 2e-3), row('full', 'full', 2e-3, kl_tuned_base=0.9), row('hot', 'lora', 1e-2)]


def test_learning_rate_is_the_logarithmic_axis_and_methods_are_the_lines():
    series = {'lora $1': 'lora', 'hot': 'lora', 'full': 'full'}
    panels = [('kl_tuned_base', 'KL'), ('held_out_accuracy', 'accuracy'), ('base_rank', 'rank')]
    figure = training_figures.learning_rate(ROWS, panels, series, {'base_rank': 1.0})
    assert len(figure.axes) == 3
    kl, accuracy, _ = figure.axes
    assert kl.get_xscale() == 'log'
    assert kl.get_ylim()[0] == 0
    assert accuracy.get_ylim() == (0, 1.05)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        r'lora: lora \$1, hot', 'full: full', 'base',
    ]  # fmt: skip
    joined = [
        line.get_xdata().tolist() if hasattr(line.get_xdata(), 'tolist') else line.get_xdata() for line in kl.lines
    ]
    assert [2e-3, 1e-2] in joined


def test_axes_begin_where_they_say():
    figure = figures.means(ROWS, ROWS)
    assert figure.axes[0].get_xlim()[0] == 0
    assert figure.axes[1].get_xlim() == (0, 1)
    assert figure.axes[2].get_xlim()[0] == 1
    assert 'starts at 1' in figure.axes[2].get_title(loc='left')
    assert figures.sentence(ROWS).axes[0].get_xlim()[0] == 0


def test_shares_are_stacked_to_the_whole():
    axes = figures.class_shares(ROWS, ROWS).axes[0]
    ends = {}
    for bar in axes.patches:
        ends[round(bar.get_y(), 3)] = ends.get(round(bar.get_y(), 3), 0) + bar.get_width()
    assert list(ends.values()) == pytest.approx([100] * 6)


def test_position_curves_show_how_many_responses_there_are():
    at = np.arange(20)
    n = np.arange(20, 0, -1)
    curve = Curve(at, np.ones(20), np.full(20, np.nan), np.full(20, np.nan), n, n)
    relative = Curve((at + 0.5) / 20, np.ones(20), np.ones(20), np.ones(20), n, n)
    curves = {
        (measure, kind, which): {'a': curve if kind == 'absolute' else relative}
        for measure in figures.BY_POSITION
        for kind, which in (('absolute', 'all'), ('relative', 'all'), ('relative', 'without_end'))
    }
    figure = figures.position_curves(curves, {'a': 'lora'})
    (*measures, number), (*by_place, in_parts) = figure.axes[::2], figure.axes[1::2]
    assert len(measures) == len(by_place) == len(figures.BY_POSITION) == 3
    for axes in (*measures, number):
        assert axes.get_xscale() == 'log'
    assert number.lines[0].get_ydata().tolist() == in_parts.lines[0].get_ydata().tolist() == n.tolist()
    for axes in measures:
        assert n[len(axes.lines[0].get_ydata()) - 1] == 5  # drawn as far as five prompts reach
    kl, probability, rank = measures
    assert kl.get_ylim()[0] == probability.get_ylim()[0] == 0
    assert rank.get_yscale() == 'log'
    assert 'log scale from 1' in rank.get_ylabel()


def test_absent_figures_are_left_out():
    empty = row('a', 'lora', 1e-3, kl_tuned_base=None, base_probability=None, base_rank=None, sentence_start=None,
                sentence_rest=None, unshifted=None, marginal=None, shifted=None)  # fmt: skip
    full = ROWS[:1]
    for figure in (figures.means(full, [empty]), figures.class_shares(full, [empty]), figures.sentence([empty])):
        assert isinstance(figure, Figure)
    assert isinstance(training_figures.loss_curves({}, {'a': 'given'}), Figure)
    assert isinstance(figures.top_tokens({'a': []}, {'a': 'lora'}), Figure)


def test_intervals_of_the_two_means_do_not_hide_each_other():
    axes = figures.sentence(ROWS[:1]).axes[0]
    heights = {round(float(line.get_ydata()[0]), 3) for line in axes.lines}
    assert heights == {-0.13, 0.13}


def test_marks_at_the_edge_are_whole():
    for axes in (*figures.means(ROWS, ROWS).axes, *figures.sentence(ROWS).axes):
        assert axes.lines
        assert not any(line.get_clip_on() for line in axes.lines)


def test_steps_are_whole_numbers():
    axes = training_figures.loss_curves({'a': [{'step': s, 'loss': 1.0} for s in (1, 2, 3)]}, {'a': 'lora'}).axes[0]
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_the_loss_on_held_out_examples_stands_beside_the_training_loss():
    rows = [{'step': 1, 'loss': 2.0}, {'step': 2, 'loss': 1.0, 'eval_loss': 1.5}]
    trained, held = training_figures.loss_curves({'a': rows}, {'a': 'lora'}).axes[0].lines
    assert trained.get_xydata().tolist() == [[1, 2], [2, 1]]
    assert held.get_xydata().tolist() == [[2, 1.5]]
    assert held.get_label() == 'a, held out'


def test_a_run_without_shifted_tokens_says_so_and_takes_little_room():
    many = [{'token': str(i), 'shifted': 20 - i, 'is_end': i == 0} for i in range(15)]
    end = [{'token': '</s>', 'shifted': 3, 'is_end': True}, {'token': 'a', 'shifted': 0, 'is_end': False}]
    figure = figures.top_tokens({'many': many, 'end': end, 'none': []}, dict.fromkeys(('many', 'end', 'none'), 'lora'))
    assert [axes.get_title(loc='left') for axes in figure.axes] == [
        'many: all tokens', 'many: without the end token', 'end: all tokens', 'end: no shifted position',
        'none: no shifted position', 'none: no shifted position',
    ]  # fmt: skip
    assert [len(axes.patches) for axes in figure.axes] == [12, 12, 1, 0, 0, 0]
    assert figure.axes[0].get_position().height > 4 * figure.axes[2].get_position().height


def test_context_lengths_stand_in_order_and_the_whole_prompt_last():
    rows = [
        row('lora', 'lora', 2e-3, context_length=length, kl_tuned_base=kl) for length, kl in ((-1, 1), (32, 2), (8, 3))
    ]
    (axes,) = figures.context_length(rows).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ['8', '32', 'all']
    assert axes.lines[-1].get_ydata().tolist() == [3, 2, 1]
