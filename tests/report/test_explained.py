"""Sections of analyses on the page."""

from __future__ import annotations

from made_up import END, PIECES, make_workdir
from matplotlib.figure import Figure

from jaxshift.report import explained, page
from jaxshift.report.explained import Section

BOUNDS = {'share_of_all_low': 0.2, 'share_of_all_high': 0.3}


def section(found):
    return Section(
        'Why <it> shifted',
        ['Because & how.'],
        {'reasons': [{'run': 'lora', 'share_of_all': 0.25, 'best': True, 'end': False, **BOUNDS}] * 21},
        {'reason': (Figure(), 'A figure.')},
    )


def test_a_section_has_its_words_its_figures_and_the_first_rows_of_its_tables(tmp_path, monkeypatch):
    make_workdir(tmp_path)
    monkeypatch.setattr(explained, 'SECTIONS', (section, lambda found: None))
    text = page.write(tmp_path, PIECES, [END]).read_text(encoding='utf-8')
    assert 'Why &lt;it&gt; shifted' in text
    assert 'Because &amp; how.' in text
    assert 'A figure.' in text
    assert '<caption>Reasons</caption>' in text
    cells = '<td>0.250<br><small>[0.200, 0.300]</small></td><td>yes</td><td>no</td>'
    assert text.count(cells) == 20
    assert '1 more row in the files. ' in text
    assert 'href="tables/reasons.csv"' in text
    assert (tmp_path / 'report/figures/reason.png').exists()
    assert len((tmp_path / 'report/tables/reasons.csv').read_text().splitlines()) == 22


def test_texts_are_written_as_texts_and_numbers_as_numbers():
    rows = [
        {'token': '␣however', 'said': ', it is worth noting that ', 'share': '0.5 [0.4, 0.6]', 'n': 3, 'p': '–'},
        {'token': '⟦', 'said': '', 'share': '–', 'n': None, 'p': '1.2e-05'},
    ]
    looks, *_ = explained.shown(rows)
    assert looks == {'token': 'words', 'said': 'words long', 'share': '', 'n': '', 'p': ''}


def test_bounds_of_an_interval_stand_below_their_mean():
    looks, *_ = explained.shown([{'slope': 1, 'low': 0, 'high': 2, 'kl': 1, 'kl_low': 0, 'kl_high': 2}])
    assert list(looks) == ['slope', 'low', 'high', 'kl']
