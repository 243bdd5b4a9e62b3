"""Chinese in figures, with a font that is made here and has nothing but one glyph."""

from xml.etree import ElementTree

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager, image
from matplotlib.figure import Figure

from jaxshift.report import caveats, style


@pytest.fixture
def chinese_fonts(monkeypatch):
    """Makes a machine that has no fonts with Chinese glyphs but those of the given files."""

    def install(*paths):
        monkeypatch.setattr(font_manager.fontManager, 'ttflist', [*font_manager.fontManager.ttflist])
        monkeypatch.setattr(style, '_CJK_FONTS', ('Square',))
        for path in paths:
            font_manager.fontManager.addfont(path)
        forget()

    def forget():
        style._fonts.cache_clear()
        style._glyphs.cache_clear()

    yield install
    monkeypatch.undo()
    forget()


def square(path):
    """A font in which 中 is a square, and has nothing else."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(point)
    pen.closePath()
    glyphs = {'.notdef': TTGlyphPen(None).glyph(), 'square': pen.glyph()}
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(list(glyphs))
    font.setupCharacterMap({ord('中'): 'square'})
    font.setupGlyf(glyphs)
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    font.setupHorizontalHeader(ascent=1000, descent=0)
    font.setupNameTable({'familyName': 'Square', 'styleName': 'Regular'})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


@style.styled
def written(text):
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0.3, 0.3, style.label(text), fontsize=20)
    return figure


def test_a_glyph_of_the_chinese_font_is_in_both_files(chinese_fonts, tmp_path):
    chinese_fonts(square(tmp_path / 'square.ttf'))
    svg = style.save(written('中'), tmp_path, 'drawn')
    assert '>中</text>' in svg
    assert "font-family: 'DejaVu Sans', 'Square', " in svg
    assert 'sans-serif;' in svg
    ink = image.imread(tmp_path / 'drawn.png')[..., :3].mean(axis=2) < 0.5
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    assert ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.95  # the square
    assert caveats.of_fonts([svg]) == []


def test_without_such_a_font_the_png_names_the_character_the_svg_keeps_it_and_the_page_says_so(chinese_fonts, tmp_path):
    chinese_fonts()
    figure = written('中文 U+4E2D \x1b')
    assert figure.axes[0].texts[0].get_text().replace('\u2060', '') == 'U+4E2DU+6587 U+4E2D U+001B'
    svg = style.save(figure, tmp_path, 'drawn')
    assert '>中文 U+4E2D \u2060U+001B\u2060</text>' in svg
    assert svg == (tmp_path / 'drawn.svg').read_text(encoding='utf-8')
    (line,) = caveats.of_fonts([svg, '<svg>'])
    assert 'No font was found for 2 characters of the figures (中 文)' in line


BESIDE = ('年2024', '第1', '中A', 'A中', '秩16', '\u2060U+003Cb\u2060U+003E', '\u2060U+003C\u2060', '<&>')


@pytest.mark.parametrize('text', BESIDE)
def test_what_stands_beside_a_spelled_character_is_never_read_as_its_number_or_as_markup(chinese_fonts, tmp_path, text):
    chinese_fonts()
    svg = style.save(written(text), tmp_path, 'drawn')
    (drawn,) = [each.text for each in ElementTree.fromstring(svg).iter('{http://www.w3.org/2000/svg}text')]
    assert drawn == text.replace('\u2060', '\u2060U+2060\u2060')
