import warnings

from matplotlib.figure import Figure

from jaxshift.report import figures, style

TOKENS = [{'token': t, 'shifted': 9 - i, 'is_end': i == 0} for i, t in enumerate(['</s>', '$x^{$', '中', '<b>'])]


def test_dollars_are_no_mathematics_and_missing_glyphs_are_spelt_out(tmp_path):
    assert style.label('a $x$ b') == r'a \$x\$ b'
    assert style.token_label(' in\n') == '␣in⏎'
    assert style.token_label('') == '(empty)'
    assert style.token_label('x' * 40) == 'x' * 17 + '…'
    assert 'U+E123' in style.label('\ue123')  # a private character: no font has it
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # matplotlib warns of a missing glyph
        svg = style.save(figures.top_tokens({'lora $1': TOKENS}, {'lora $1': 'lora'}), tmp_path, 'top')
    assert '$x^{$' in svg
    assert '&lt;b&gt;' in svg


def test_a_figure_is_saved_twice_and_the_same_each_time(tmp_path):
    texts = [style.save(figures.top_tokens({'a': TOKENS}, {'a': 'lora'}), tmp_path / str(i), 'top') for i in range(2)]
    assert texts[0] == texts[1]
    assert (tmp_path / '0/top.png').read_bytes() == (tmp_path / '1/top.png').read_bytes()
    assert (tmp_path / '0/top.png').read_bytes().startswith(b'\x89PNG')


def test_many_runs_of_a_method_look_different():
    looks = style.run_styles({f'r{i}': 'lora' for i in range(8)} | {'f': 'full'})
    assert len({(look['marker'], look['linestyle']) for look in list(looks.values())[:8]}) == 8
    assert looks['f']['color'] != looks['r0']['color']


def test_an_axis_that_leaves_out_zero_is_marked(tmp_path):
    def marks(xlim, ylim=(0, 1), **changes):
        figure = Figure()
        axes = figure.subplots()
        axes.set(xlim=xlim, ylim=ylim, **changes)
        return style.save(figure, tmp_path, 'drawn').count('>//<')

    assert marks((0, 1)) == marks((-1, 1)) == marks((0.5, 5), xscale='log') == 0
    assert marks((1, 5)) == marks((-2, -1)) == marks((0, 1), (5, 2)) == 1
    assert marks((1, 5), (0.2, 1)) == 2


def test_names_are_no_numbers_that_could_be_cut(tmp_path):
    figure = Figure()
    style.names_axis(figure.subplots(), ['a', 'b'])
    assert '>//<' not in style.save(figure, tmp_path, 'drawn')
