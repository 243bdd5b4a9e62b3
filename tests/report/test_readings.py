import json
import math

from matplotlib.figure import Figure

from jaxshift.report import drawings, readings


def test_named_lines_are_told_with_the_place_of_their_panel():
    figure = Figure(layout='none')
    left, right = figure.subplots(1, 2)
    left.plot([1, 10, 100], [0.123456, math.nan, 2], label='a <b> "c"')
    left.plot([1, 2], [3, 4])  # without a name
    left.set(xscale='log', xlim=(1, 100), ylim=(0, 4))
    right.plot([1], [1], label='a point')
    (panel,) = json.loads(readings.plot(figure))
    assert panel['lines'] == [{'name': 'a <b> "c"', 'x': [1, 10, 100], 'y': [0.1235, None, 2]}]
    assert panel['x'] == {'limits': [1, 100], 'log': True}
    assert panel['y'] == {'limits': [0, 4], 'log': False}
    assert panel['box'] == [float(f'{value:.4g}') for value in left.get_position().bounds]


def test_a_figure_without_lines_has_nothing_to_read(tmp_path):
    assert readings.plot(Figure()) == ''
    assert 'data-plot' not in drawings.drawn(Figure(), tmp_path, 'empty')


def test_names_cannot_leave_the_attribute(tmp_path):
    figure = Figure()
    figure.subplots().plot([1, 2], [1, 2], label='"><script>')
    text = drawings.drawn(figure, tmp_path, 'line')
    assert text.startswith('<svg data-plot="[{&#34;box')
    assert '<script>' not in text
