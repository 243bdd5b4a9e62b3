"""Sections of analyses on the page."""

from __future__ import annotations

from made_up import END, PIECES, make_workdir
from matplotlib.figure import Figure

from jaxshift.report import explained, page
from jaxshift.report.explained import Section


def section(found):
    return Section(
        'Why <it> shifted',
        ['Because & how.'],
        {'reasons': [{'run': 'lora', 'share_of_all': 0.25, 'best': True, 'end': False}] * 21},
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
    assert text.count('<td>0.250</td><td>yes</td><td>no</td>') == 20
    assert '1 more row in the files. ' in text
    assert 'href="tables/reasons.csv"' in text
    assert (tmp_path / 'report/figures/reason.png').exists()
    assert len((tmp_path / 'report/tables/reasons.csv').read_text().splitlines()) == 22
