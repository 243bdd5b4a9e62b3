import json
import math

from matplotlib.figure import Figure

from jaxshift.report import drawings, readings


def test_named_lines_are_told_with_the_place_of_their_panel():
    figure = Figure(layout='none')
    left, right = figure.subplots(1, 2)
    left.plot([1, 10, 100], [0.123456, math.nan, 2], label='a <b> "c"')
    left.plot([1, 2], [3, 4])  # without a name
    left.set(xscale='log', xlim=(1, 100), ylim=(0, 4), xlabel='steps (log scale)', ylabel='loss,\nnats')
    right.plot([1], [1], label='a point')
    (panel,) = json.loads(readings.plot(figure))
    assert panel['lines'] == [{'name': 'a <b> "c"', 'x': [1, 10, 100], 'y': [0.1235, None, 2]}]
    assert panel['x'] == {'limits': [1, 100], 'log': True, 'name': 'steps', 'names': {}}
    assert panel['y'] == {'limits': [0, 4], 'log': False, 'name': 'loss, nats'}
    assert panel['box'] == [float(f'{value:.4g}') for value in left.get_position().bounds]


def test_places_have_the_names_of_the_axis_and_whole_numbers_all_their_digits():
    figure = Figure()
    (top, side), (below, other) = figure.subplots(2, 2, sharex='col')
    top.plot([0, 1, 2], [0.1, 0.2, 12345], label='a')
    below.set_xticks([0, 1, 2], ['8', '32', 'all'])
    below.set_xlabel('prompt tokens')
    top.set_ylabel('KL')
    other.plot([1, 123456], [1, 2], label='b')
    other.set_title('rank', loc='left')
    figure.supxlabel('step')
    first, second = json.loads(readings.plot(figure))
    assert first['x'] | {'limits': 0} == {'limits': 0, 'log': False, 'name': 'prompt tokens',
                                          'names': {'0': '8', '1': '32', '2': 'all'}}  # fmt: skip
    assert first['lines'] == [{'name': 'a', 'x': [0, 1, 2], 'y': [0.1, 0.2, 12345]}]
    assert (second['x']['name'], second['y']['name']) == ('step', 'rank')
    assert second['lines'][0]['x'] == [1, 123456]
    assert side.get_ylabel() == ''


def test_a_figure_without_lines_has_nothing_to_read(tmp_path):
    assert readings.plot(Figure()) == ''
    assert 'data-plot' not in drawings.drawn(Figure(), tmp_path, 'empty')


def test_names_cannot_leave_the_attribute(tmp_path):
    figure = Figure()
    figure.subplots().plot([1, 2], [1, 2], label='"><script>')
    text = drawings.drawn(figure, tmp_path, 'line')
    assert text.startswith('<svg data-plot="[{&#34;box')
    assert '<script>' not in text
