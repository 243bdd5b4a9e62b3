"""How a page is made of its template: the frame of all pages, and what templates may call."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jaxshift.report import explained, script
from jaxshift.report.style import token_text
from jaxshift.report.tables import Row
from jaxshift.report.wording import counted, number
from jaxshift.shift import summary


def parted(body: str) -> tuple[Markup, dict[str, Markup]]:
    """The body with an id in each <h2>, and the headings by their ids: those of templates, as data is escaped."""
    headings: dict[str, Markup] = {}

    def named(found: re.Match[str]) -> str:
        plain = name = re.sub(r'\W+', '-', Markup(found[1]).striptags().lower()).strip('-')
        while name in headings:
            name = f'{plain}-{len(headings) + 1}'
        headings[name] = Markup(found[1])
        return f'<h2 id="{name}">{found[1]}</h2>'

    return Markup(re.sub('<h2>(.*?)</h2>', named, body)), headings


def render(path: Path, title: str, **values: Any) -> str:
    """The page of a template that extends frame.html; it may use the filters below and include files of this folder."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        'number': number, 'counted': counted, 'mean': _mean, 'truth': _truth, 'shown': token_text, 'source': _source,
        'windows': summary.described, 'table': explained.shown, 'headed': explained.headed, 'cell': _cell,
        'parted': parted, 'json': _json, 'unbroken': _unbroken,
    }  # fmt: skip
    template = environment.from_string(path.read_text(encoding='utf-8'))
    return template.render(title=title, script=script.joined(), **values)


def _mean(row: Row, name: str) -> Markup:
    """A mean, and below it its interval."""
    low, high = row.get(f'{name}_low'), row.get(f'{name}_high')
    if low is None or high is None:
        return Markup(number(row.get(name)))
    return Markup(f'{number(row[name])}<br><small>[{number(low)}, {number(high)}]</small>')


def _truth(row: Row | None) -> Markup:
    """A figure of the world's truth, where there is one."""
    return _mean({'value': row['value'], 'value_low': row['low'], 'value_high': row['high']} if row else {}, 'value')


def _cell(row: Row, name: str) -> str:
    """A value of a row, whatever it is, and below it its interval."""
    value = row.get(name)
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return value if isinstance(value, str) else _mean(row, name)


def _unbroken(text: str) -> str:
    """A text in which no line begins with a percent sign."""
    return text.replace(' %', '\u00a0%')


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _source(source: str) -> str:
    """Where something comes from."""
    return {'': 'none', 'world:': 'made here, the controlled world'}.get(source, source)
