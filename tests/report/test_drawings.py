from matplotlib.figure import Figure

from jaxshift.report import drawings


def test_runs_that_differ_in_the_learning_rate_alone_share_a_line():
    configs = {
        'a': {'learning_rate': 1, 'targets': ['q_proj'], 'seed': 0},
        'b': {'learning_rate': 2, 'targets': ['q_proj'], 'seed': 0},
        'c': {'learning_rate': 2, 'targets': ['q_proj', 'v_proj'], 'seed': 0},
        'd': {'learning_rate': 1, 'seed': 0},
    }
    series = drawings.series(configs, {'a': 'lora', 'b': 'lora', 'c': 'lora', 'd': 'full'})
    assert series == {
        'a': 'lora, targets=q_proj',
        'b': 'lora, targets=q_proj',
        'c': 'lora, targets=q_proj/v_proj',
        'd': 'full',
    }


def test_what_a_text_says_is_left_as_it_is(tmp_path):
    figure = Figure()
    said = '#ffffff url(#a) id="b" <i href="#c">'
    figure.text(0, 0, said)
    svg = drawings.drawn(figure, tmp_path, 'said')
    assert said in svg.unescape()
    assert 'var(--paper)' in svg
    assert 'id="said-figure_1"' in svg
