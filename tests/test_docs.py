"""What the pages say of the program is so: keys, modes, columns, error lines, files, and links between them."""

import ast
import importlib.util
import re

import pytest
from commandline import ROOT

from jaxshift import helptext, options
from jaxshift.config import Experiment, Run, Treatment, World
from jaxshift.shift import aligntds, classes, records

PAGES = sorted((ROOT / 'docs').glob('*.md'))
TEXTS = [ROOT / 'README.md', ROOT / 'BUILD.md', *PAGES]


def hooks():
    spec = importlib.util.spec_from_file_location('docs_hooks', ROOT / 'docs/hooks.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (ROOT / 'docs' / name).read_text(encoding='utf-8')


def anchors(text: str) -> set[str]:
    """The anchors of headings, as GitHub and MkDocs make them of plain ones."""
    titles = re.findall(r'^#+ (.+)$', text, re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).strip().replace(' ', '-') for title in titles}


def test_the_reference_has_every_key_with_its_default_and_meaning():
    text = page('reference.md')
    assert text == hooks().reference(), 'run python docs/hooks.py'
    rows = dict(re.findall(r'^\| `([\w.]+)` \| (.*) \|$', text, re.MULTILINE))
    every = Experiment(runs={'RUN': Run()}, treatments={'NAME': Treatment()}, world=World())
    known = [option for section in options.sections(every) for option in section.options]
    assert rows.keys() == {option.key for option in known}
    assert rows['sweep.top_k'] == '`int` | `10` | likeliest tokens of both models kept with each position'
    assert rows['runs.RUN.targets'].startswith('`tuple[str, ...]` | `q_proj,v_proj` | ')
    assert all(option.help for option in known)


def test_text_of_the_reference_is_no_markdown():
    assert hooks()._plain('a|b*c_d[e]<f>') == r'a\|b\*c\_d\[e\]\<f\>'


def test_a_key_that_a_page_sets_exists():
    every = Experiment(runs={'RUN': Run()}, treatments={'NAME': Treatment()}, world=World())
    known = {option.key for section in options.sections(every) for option in section.options}
    for path in TEXTS:
        for key in re.findall(r'--config\.([a-z_]+(?:\.\w+)*)=', path.read_text(encoding='utf-8')):
            assert re.sub(r'^runs\.\w+\.', 'runs.RUN.', key) in known, f'{path.name}: {key}'


@pytest.mark.parametrize('name', ['README.md', 'docs/first_run.md'])
def test_every_mode_is_told_of(name):
    text = (ROOT / name).read_text(encoding='utf-8')
    assert [mode for mode in helptext.MODES if not re.search(rf'(`|--mode=){mode}\b', text)] == []


def test_every_column_of_the_records_is_defined():
    rows = re.findall(r'^\| (`.+?) \| ', page('measures.md'), re.MULTILINE)
    defined = {name for row in rows for name in re.findall(r'`([\w%.]+)`', row)}
    assert defined >= {field.name for field in (*records.SCHEMA, records.STEP, *records.COMPAT)}
    assert len(aligntds.COLUMNS) == len([name for name in defined if name.startswith('aligntds_')])
    for name in classes.CLASSES:
        assert f'| {name} | ' in page('measures.md')


def test_every_measure_has_its_definition_and_its_source():
    heads, *rows = re.findall(r'^\| (.*) \|$', page('measures.md').partition('## Why it shifted')[2], re.MULTILINE)
    assert heads == 'figure | is | after'
    assert len(rows) > 10
    for row in rows[1:]:
        assert all(cell.strip() for cell in row.replace('\\|', '').split('|')), row


def test_the_page_tells_every_key_and_tool_of_the_browser_of_responses():
    browser = (ROOT / 'jaxshift/report/browser.html').read_text(encoding='utf-8')
    told = page('reading_the_report.md')
    keys = {key for names in re.findall(r'<dt>(.*?)</dt>', browser) for key in names.split()}
    assert {'Enter', '/', 'n'} <= keys
    assert [key for key in keys if f'`{key}`' not in told] == []
    for tool in ('Search', 'Order by', 'Colour by', 'Filters', 'mark blanks', 'mark spans of the tuning data'):
        assert tool in browser
        assert f'*{tool}*' in told


def test_every_extra_of_setup_cfg_that_a_page_names_exists():
    extras = set(
        re.findall(r'^(\w+) =$', (ROOT / 'setup.cfg').read_text().partition('extras_require]')[2], re.MULTILINE)
    )
    for path in TEXTS:
        named = re.findall(r"pip install (?:-e )?'(?:jaxshift|\.)\[(\w+)\]'", path.read_text(encoding='utf-8'))
        assert extras.issuperset(named), path.name


def in_general(text: str) -> str:
    """A message with \0 for what differs from case to case: fields, and words in capitals."""
    return re.sub(r'\0[\0.:/]*', '\0', re.sub(r'\b[A-Z][A-Z_0-9]*\b', '\0', text))


def messages() -> str:
    """All texts of the program; what an f-string puts in is \0."""
    found = []
    for path in [ROOT / 'run.py', *sorted((ROOT / 'jaxshift').rglob('*.py'))]:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else '\0' for part in node.values]
                found.append(in_general(''.join(map(str, parts))))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(in_general(node.value))
    return '\n'.join(found)


def test_every_error_line_of_the_troubleshooting_page_is_one_of_the_program():
    lines = re.findall(r'^\| `(.+?)` \| ', page('troubleshooting.md'), re.MULTILINE)
    assert len(lines) > 40
    every = messages()
    assert [line for line in lines if in_general(line) not in every] == []
    assert in_general('config.data.source is not there') not in every


@pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r'\]\(([^)\s]+)\)', path.read_text(encoding='utf-8')):
        if re.match(r'https?:', target):
            assert re.match(r'https://arxiv\.org/abs/\d{4}\.\d{5}$', target), target
            continue
        name, _, anchor = target.partition('#')
        file = (path.parent / name) if name else path
        assert file.is_file(), f'{path.name}: {target}'
        if anchor:
            assert anchor in anchors(file.read_text(encoding='utf-8')), f'{path.name}: {target}'


@pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
def test_files_that_a_page_names_exist(path):
    named = re.findall(
        r'(?<![\w/])(?:configs|jaxshift|tests|docs|benchmarks)/[\w/]+\.(?:py|css|js)\b',
        path.read_text(encoding='utf-8'),
    )
    for name in set(named) - {'configs/NAME.py'}:
        assert (ROOT / name).is_file(), name
    for module in re.findall(r'python -m (benchmarks\.\w+)', path.read_text(encoding='utf-8')):
        assert (ROOT / f'{module.replace(".", "/")}.py').is_file(), module


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r': (\w+\.md)$', (ROOT / 'mkdocs.yml').read_text(), re.MULTILINE))
    assert {path.name for path in PAGES} == listed | ({hooks().FOUND} & {path.name for path in PAGES})
    assert len(listed) > 10
