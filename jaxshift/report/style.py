"""The one look of all figures: colours, marks, axes, text that is safe to draw, and how they are saved."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator, ScalarFormatter

from jaxshift.shift.classes import CLASSES

# Okabe and Ito's colours, which stay apart for all common kinds of colour blindness; a method keeps its own.
METHOD_COLOURS = {'lora': '#0072B2', 'full': '#D55E00', 'pretrain': '#009E73', 'given': '#AA4499'}
CLASS_COLOURS = dict(zip(CLASSES, ('#DDDDDD', '#E69F00', '#882255'), strict=True))  # also apart in grey
GREY = '#555555'
WIDTH = 7.2  # inches
_CJK_FONTS = (
    'Noto Sans CJK SC', 'Noto Sans CJK JP', 'Noto Sans SC', 'Source Han Sans SC', 'Source Han Sans CN', 'PingFang SC',
    'Hiragino Sans GB', 'Microsoft YaHei', 'SimHei', 'WenQuanYi Micro Hei', 'WenQuanYi Zen Hei', 'Droid Sans Fallback',
    'Arial Unicode MS',
)  # fmt: skip
_LONGEST = 18  # characters of a token
_MARK = '\u2060'  # has no width; about a number that stands for a character, which data may write themselves
_SPELLED = re.compile(f'{_MARK}U\\+([0-9A-F]{{4,6}}){_MARK}')
_SHOWN_BLANKS = {' ': '␣', '\n': '⏎', '\t': '→', '\r': '↵'}


@functools.cache
def _fonts() -> tuple[str, ...]:
    """DejaVu Sans, which comes with matplotlib, and one with Chinese glyphs where it is installed."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ('DejaVu Sans', *[name for name in _CJK_FONTS if name in installed][:1])


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset().union(*(FT2Font(font_manager.findfont(name)).get_charmap() for name in _fonts()))


def _settings() -> dict[Any, Any]:
    """The style as rcParams; text of an SVG stays text, and what lies behind its axes shows through.

    A text goes through the fonts glyph by glyph; 'sans-serif' is for viewers of an SVG that have none of them.
    """
    return {
        'font.family': [*_fonts(), 'sans-serif'], 'font.sans-serif': ['DejaVu Sans'], 'font.size': 9,
        'axes.titlesize': 9.5, 'axes.titlelocation': 'left', 'axes.spines.top': False, 'axes.spines.right': False,
        'axes.grid': True, 'axes.axisbelow': True, 'axes.facecolor': 'none', 'grid.color': '#E4E4E4',
        'grid.linewidth': 0.7, 'lines.linewidth': 1.6, 'legend.frameon': False,
        'figure.constrained_layout.use': True, 'svg.fonttype': 'none', 'svg.hashsalt': 'jaxshift',
    }  # fmt: skip


def styled(draw):
    """Lets a function draw in the style."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs):
        with mpl.rc_context(_settings()):
            return draw(*args, **kwargs)

    return drawn


def save(figure: Figure, folder: str | Path, name: str) -> str:
    """Writes NAME.svg and NAME.png (the same bytes for the same data); returns the SVG's text.

    Characters that the PNG spells out are themselves in the SVG, whose viewer may have a font for them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_settings()):
        _mark_cut_axes(figure)
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine('none')  # the layout stands; each file would work it out again
        figure.savefig(svg := io.StringIO(), format='svg', metadata={'Date': None})
        figure.savefig(folder / f'{name}.png', dpi=160)
    text = unspelled(svg.getvalue())
    (folder / f'{name}.svg').write_text(text, encoding='utf-8', newline='\n')
    return text


def _mark_cut_axes(figure: Figure) -> None:
    """Two strokes at the begin of each linear axis of numbers that leaves out zero; round figures say it themselves."""
    for axes in (axes for axes in figure.axes if axes.name == 'rectilinear'):
        for axis, (x, y) in ((axes.xaxis, (0.012, 0)), (axes.yaxis, (0, 0.02))):
            low, high = sorted(axis.get_view_interval())
            if isinstance(axis.get_major_formatter(), ScalarFormatter) and axis.get_visible() and not low <= 0 <= high:
                axes.text(x, y, '//', transform=axes.transAxes, ha='center', va='center')


def without_glyph(texts: Iterable[str]) -> list[str]:
    """The printable characters that `label` spells out, since no font that it knows has them."""
    return sorted(char for char in set().union(*texts) if char.isprintable() and ord(char) not in _glyphs())


def label(text: str) -> str:
    """Text as matplotlib may draw it: no mathematics begins at '$', and a character without glyph reads U+4E2D.

    So does the mark about such a number: `unspelled` reads back what was spelled here, nothing that data may write.
    """
    shown = ''.join(
        char if ord(char) in _glyphs() and char != _MARK else f'{_MARK}U+{ord(char):04X}{_MARK}' for char in text
    )
    return shown.replace('$', r'\$')


def unspelled(text: str) -> str:
    """A text with the printable characters that `label` has spelled out."""

    def read(found: re.Match[str]) -> str:
        char = chr(int(found[1], 16))
        return char if char.isprintable() else found[0]

    return _SPELLED.sub(read, text)


def token_text(text: str) -> str:
    """A token with its blanks and line ends made visible."""
    return ''.join(_SHOWN_BLANKS.get(char, char) for char in text) or '(empty)'


def token_label(text: str) -> str:
    """A token as matplotlib may draw it, cut where it is long."""
    shown = token_text(text)
    return label(shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + '…')


def set_runs(artists: Iterable[tuple[str, Artist]]) -> None:
    """Says which run each (run, artist) of a figure belongs to, so that the page can hide it."""
    for number, (run, artist) in enumerate(artists):
        artist.set_gid(f'run:{number}:{run}')


def run_of(artist: Artist) -> str:
    """What `set_runs` says; '' where it says nothing."""
    return (artist.get_gid() or '').removeprefix('run:').partition(':')[2]


def colour(method: str) -> str:
    """A method's own colour; grey for an unknown one."""
    return METHOD_COLOURS.get(method, GREY)


def run_styles(methods: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour by method (run -> method); marker and dashes tell the runs of one method apart."""
    seen: dict[str, int] = {}
    styles = {}
    for run, method in methods.items():
        index = seen[method] = seen.get(method, -1) + 1
        styles[run] = {
            'color': colour(method),
            'marker': 'osD^vPX*'[index % 8],
            'linestyle': ('-', '--', ':', '-.')[index % 4],
        }
    return styles


def errors(row: Mapping[str, Any], column: str) -> list[list[float]] | None:
    """The bars of a mean and its interval, as `Axes.errorbar` takes them; None where there is no interval."""
    low, high, mean = row.get(f'{column}_low'), row.get(f'{column}_high'), row[column]
    return None if low is None or high is None else [[max(mean - low, 0.0)], [max(high - mean, 0.0)]]


def log_axis(axis, ticks: Sequence[float]) -> None:
    """A logarithmic axis labelled with plain numbers, at `ticks` where they are few."""
    axis.axes.set(**{f'{axis.axis_name}scale': 'log'})
    if 1 < len(ticks) <= 6:
        axis.set_major_locator(FixedLocator(list(ticks)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _position: f'{value:g}'))
    axis.set_minor_formatter(NullFormatter())


def names_axis(axes: Axes, labels: Sequence[str], room: int = 0) -> None:
    """Names down the y axis, the first on top, with room for at least so many."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), room) - 0.5, -0.5)
    axes.grid(axis='y', visible=False)
