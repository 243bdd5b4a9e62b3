import json
import re
import shutil
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest
from made_up import END, PIECES, RUNS, make_run

from jaxshift.report import page
from jaxshift.report.wording import number
from jaxshift.shift import summary

FIGURES = ('learning_rate', 'means', 'class_shares', 'sentence', 'position_curves', 'loss', 'top_tokens')
VOID = {'meta', 'br', 'wbr', 'img', 'link', 'hr', 'input'}


@pytest.fixture(scope='module')
def report(workdir):
    page.write(workdir, PIECES, [END])
    return workdir / 'report'


@pytest.fixture(scope='module')
def html(report):
    return (report / 'index.html').read_text(encoding='utf-8')


class Checker(HTMLParser):
    """Collects ids, links and text, and holds that every element is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.text = [], [], [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        attributes = dict(attrs)
        self.ids += [attributes['id']] if 'id' in attributes else []
        self.links += [attributes[name] for name in ('href', 'src', 'xlink:href') if name in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        closed = self.open.pop()
        # HTML lets these two stay open until their parent ends.
        while closed != tag and closed in ('li', 'p'):
            closed = self.open.pop()
        assert closed == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope='module')
def parsed(html):
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    return checker


def test_the_page_needs_nothing_from_elsewhere(html, parsed, report):
    assert 'http://' not in html
    assert 'https://' not in html
    assert '@import' not in html
    assert parsed.tags.isdisjoint({'link', 'img', 'iframe'})
    for link in parsed.links:
        assert link.startswith('#') or (report / link).exists()


def test_references_inside_the_drawings_find_their_targets(html, parsed):
    targets = [link[1:] for link in parsed.links if link.startswith('#')] + re.findall(r'url\(#([^)]+)\)', html)
    assert targets
    assert set(targets) <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_every_figure_and_table_is_there_in_both_formats(report):
    for name in FIGURES:
        assert (report / f'figures/{name}.svg').stat().st_size > 1000
        assert (report / f'figures/{name}.png').read_bytes().startswith(b'\x89PNG')
    for name in ('runs', 'pairs', 'truth', 'top_tokens', 'curves'):
        assert (report / f'tables/{name}.csv').exists()
        assert pq.read_table(report / f'tables/{name}.parquet').num_rows > 0


def test_tokens_prompts_and_names_are_escaped(html):
    scripts = [begun for begun in re.findall('<script.*', html) if 'type="application/octet-stream" id="' not in begun]
    assert scripts == ["<script>(() => {'use strict';"]  # its own, behind the islands of data
    assert '&lt;script&gt;alert(1)&lt;/script&gt;' in html
    assert '<b>ada</b>' not in html  # prompts stand in the islands
    assert 'a made-up &lt;world&gt;' in html


def test_the_numbers_are_those_of_the_summaries(workdir, html):
    for run in RUNS:
        item = summary.read(workdir / f'runs/{run}/summary.json')[0]
        for which in summary.POSITIONS:
            kl = item[which]['kl_tuned_base']
            low, high = kl['interval']
            cell = f'{number(kl["mean"])}<br><small>[{number(low)}, {number(high)}]</small>'
            assert f'<td>{cell}</td>' in html
            assert f'<td>{number(kl["99.9%"])}</td>' in html
        for share in item['all']['shares'].values():
            assert f'<td>{number(share["mean"])}<br>' in html
        assert f'<td>{item["trainable_parameters"]:,}</td>' in html


def test_the_world_s_truth_is_shown(html):
    assert 'ground truth' in html
    assert 'full 65.0\u00a0%' in html  # a finding
    assert '<td>0.650<br>' in html  # the table


def test_the_head_says_what_was_trained_on_and_how(workdir, tmp_path, html):
    assert 'Data hash' not in html  # this workdir has no data stage
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    counts = {'examples': 1234, 'tokens': 9, 'trained_tokens': 5, 'cut': 3, 'held_out': 0, 'refused': {'a': 1, 'b': 1}}
    for path, content in (
        ('data/counts.json', counts),
        ('done/data.json', {'settings': {'records': 'abc', 'template': 'def', 'tokenizer': 'ghi'}, 'files': {}}),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(json.dumps(content))
    head = page.write(tmp_path, PIECES, [END]).read_text(encoding='utf-8').partition('</header>')[0]
    assert '1,234 examples, 9 tokens, 5 of them trained on; refused 2, cut 3, held out 0' in head
    assert 'records <code>abc</code>, template <code>def</code>, tokenizer <code>ghi</code> (SHA-256)' in head
    assert '&#34;marginal_above&#34;: 1' in head


def test_tables_that_are_shown_in_part_say_how_many_rows_are_left(html, report):
    rows = pq.read_table(report / 'tables/top_tokens.parquet').to_pylist()
    for run in RUNS:
        left = sum(row['run'] == run for row in rows) - 10
        shown = re.search(f'Table top_tokens, {run}".*?</table>\n</div>\n<p class="below">(.*?)<', html, re.DOTALL)[1]
        assert left > 1
        assert f'{left} more rows in the files. ' in shown


def test_the_browser_has_the_room_that_figures_and_tables_leave(workdir, monkeypatch, tmp_path):
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    full = page.write(tmp_path, PIECES, [END]).read_bytes()
    assert b'had no room in this page' not in full
    monkeypatch.setattr(page, '_MOST_BYTES', len(full) - 10_000)
    less = page.write(tmp_path, PIECES, [END]).read_bytes()
    assert b'had no room in this page' in less
    assert len(less) < len(full) - 10_000


def test_what_was_cut_is_said_first(parsed):
    text = ' '.join(parsed.text)
    assert 'Run lora: cut examples: 2.' in text
    assert 'refused records' not in text
    assert text.index('cut examples') < text.index('Did tuning do anything?')


def test_a_compared_checkpoint_alone_makes_a_page(workdir, tmp_path):
    """No training here: no metrics, no truth, no learning rate."""
    experiment = json.loads((workdir / 'experiment.json').read_text())
    given = {'method': 'given', 'learning_rate': 5e-5, 'source': 'hf:someone/tuned'}
    experiment['config']['runs'] = {'tuned': given, 'later': {'method': 'lora'}}
    (tmp_path / 'experiment.json').write_text(json.dumps(experiment))
    make_run(tmp_path / 'runs/tuned', 'tuned', 'given', None, 0.2, 0.9, 0.1, 6, 0)
    shutil.rmtree(tmp_path / 'runs/tuned/causes')
    (tmp_path / 'runs/tuned/metrics.jsonl').unlink()
    html = page.write(tmp_path, PIECES, [END]).read_text()
    assert 'Run later has not been compared' in html
    assert '<dt>Tuned</dt><dd>tuned (given: hf:someone/tuned)</dd>' in html
    assert 'ground truth' not in html
    assert not (tmp_path / 'report/figures/learning_rate.svg').exists()
    assert not (tmp_path / 'report/figures/loss.svg').exists()
    assert 'Training loss' not in html
    assert 'tables/top_tokens.csv' in html
    assert 'tables/truth.csv' not in html
