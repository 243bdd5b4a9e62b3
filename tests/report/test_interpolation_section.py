"""The section of models between base and tuned."""

from types import SimpleNamespace

from jaxshift.report import interpolation


def point(way, at, kl, accuracy):
    mean = {'mean': kl, 'interval': [kl / 2, kl * 2]}
    shares = {name: {'mean': 1.0, 'interval': None} for name in ('unshifted', 'marginal', 'shifted')}
    return {
        'way': way, 'at': at, 'put_back': None if way == 'scaled' else at,
        'all': {'kl_tuned_base': mean, 'js': mean, 'base_probability': mean, 'shares': shares},
        'answers': {'held_out_n': 192, 'held_out_accuracy': accuracy, 'broken_share': 0.0},
    }  # fmt: skip


POINTS = [
    point('scaled', 0, 0.0, 1.0), point('scaled', 1, 0.4, 0.6),
    point('most', 0.1, 0.1, 0.9), point('least', 0.1, 0.4, 0.6), point('random', 0.1, 0.3, 0.7),
]  # fmt: skip


def found(points):
    return SimpleNamespace(
        explained={'full': {'interpolation': {'responses': 12, 'points': points}}},
        config={'runs': {'full': {'method': 'full'}}},
    )


def test_the_section_says_what_is_left_of_the_shift_in_each_order():
    section = interpolation.section(found(POINTS))
    assert section.sentences == [
        'full: with the tenth of the entries that changed most put back, 25 % of the mean KL (0.400 nats) is left; '
        'with the tenth that changed least 100 %; with any tenth 75 %.'
    ]
    row = section.tables['interpolation'][2]
    assert (row['way'], row['kl_tuned_base'], row['kl_tuned_base_high']) == ('most', 0.1, 0.2)
    assert row['held_out_accuracy'] == 0.9
    titles = [axes.get_ylabel() for axes in section.figures['interpolation'][0].axes]
    assert 'held-out accuracy' in titles


def test_a_study_without_answers_has_no_panel_of_accuracy():
    section = interpolation.section(found([{**each, 'answers': {}} for each in POINTS]))
    titles = [axes.get_ylabel() for axes in section.figures['interpolation'][0].axes]
    assert 'held-out accuracy' not in titles


def test_one_share_stands_on_the_scale_of_all_shares():
    figure, _ = interpolation.section(found(POINTS)).figures['interpolation']
    assert [axes.get_xlim() for axes in figure.axes[5:8]] == [(-0.05, 1.05)] * 3
