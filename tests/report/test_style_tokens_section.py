"""The section of style tokens, of a made-up workdir."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import END, PIECES, RUNS

from jaxshift.causes import style_tokens as causes
from jaxshift.report import page, results, style_tokens
from jaxshift.shift import records, summary
from jaxshift.store.paths import Workdir


def read(ids):
    return [PIECES[token] for token in ids]


@pytest.fixture(scope='module')
def explained(workdir, tmp_path_factory):
    """The made-up workdir with what the stage would have written."""
    root = tmp_path_factory.mktemp('explained') / 'workdir'
    shutil.copytree(workdir, root)
    explain(root)
    return root


def explain(root):
    for run in RUNS:
        ((_, table),) = summary.groups(records.read(root / 'runs' / run / 'tokens'))
        kind = causes.kinds(table, read, {END})
        rows, prior = causes.of_tokens(table, kind, read, {END}, 5)
        figures = {'prior': prior, 'categories': causes.of_categories(table, kind, 1, 100, 0)}
        folder = root / 'runs' / run / 'causes'
        (folder / 'style_tokens.json').write_text(json.dumps(figures))
        pq.write_table(pa.Table.from_pylist(rows), folder / 'style_tokens.tokens.parquet')
        around = causes.contexts(table, rows, read)
        pq.write_table(pa.Table.from_pylist(around), folder / 'style_tokens.contexts.parquet')


def test_the_section_tells_each_run_and_each_pair(explained):
    section = style_tokens.section(results.load(Workdir(explained)))
    for run in RUNS:
        assert any(sentence.startswith(f'{run}: ') for sentence in section.sentences)
    assert any('lora (LoRA) and full (full, same learning rate' in sentence for sentence in section.sentences)
    assert {row['run'] for row in section.tables['style_categories']} == set(RUNS)
    assert set(section.figures) == {'style_categories', 'style_pairs'}


def test_a_pair_is_told_at_as_many_positions_of_each(explained):
    section = style_tokens.section(results.load(Workdir(explained)))
    pair = {'lora_run': 'lora', 'full_run': 'full', 'why': 'same learning rate', 'is_end': False}
    rows = [row for row in section.tables['style_pairs'] if pair.items() <= row.items()]
    shifted = {side: sum(row[f'shifted_{side}'] for row in rows) for side in ('lora', 'full')}
    (told,) = [sentence for sentence in section.sentences if 'lora (LoRA) and full (full' in sentence]
    assert f'({shifted["lora"]:,} and {shifted["full"]:,})' in told
    assert f'of {min(shifted.values()):,} positions drawn from each' in told
    assert all(row['token'] and ' ' not in row['token'] for row in section.tables['style_pairs'])  # blanks are seen
    most = sum(row['shifted_in'] == 'full' for row in rows)
    assert 0 <= float(re.search(r'([\d.]+) in full alone\. The paper', told)[1]) <= most


def test_the_first_place_by_rate_is_the_greatest_smoothed_rate(explained):
    found = results.load(Workdir(explained))
    first = style_tokens.section(found).tables['style_by_rate'][0]
    for run in RUNS:
        rows = [row for row in found.kept(run, 'style_tokens.tokens') if row['shifted'] and row['chosen'] >= 5]
        best = max(rows, key=lambda row: row['shifted_rate'])
        assert first[run].endswith(f'({best["shifted"]} of {best["chosen"]})')


def test_places_by_count_are_by_shifted_then_marginal_and_the_end_token_is_marked(explained):
    found = results.load(Workdir(explained))
    rows = style_tokens.section(found).tables['style_by_count']
    for run in RUNS:
        kept = {row['token']: row for row in found.kept(run, 'style_tokens.tokens')}
        told = r'(?<=[:,] )(\d+) (?:shifted|marginal)'
        counts = [list(map(int, re.findall(told, row[run]))) for row in rows[: len(kept)]]
        assert counts == sorted(([row['shifted'], row['marginal']] for row in kept.values()), reverse=True)
        marked = [row[run] for row in rows if '(end)' in row[run]]
        assert len(marked) == (PIECES[END] in kept)


def test_a_workdir_without_the_analysis_has_no_section(workdir):
    assert style_tokens.section(results.load(Workdir(workdir))) is None


def test_the_page_holds_the_section_and_its_tokens_are_text(explained):
    text = page.write(explained, PIECES, [END]).read_text(encoding='utf-8')
    assert '>Style tokens</h2>' in text
    assert text.count('<script>') == 1  # the page's own
    for name in ('style_by_rate', 'style_pairs', 'style_contexts', 'style_categories'):
        assert (explained / f'report/tables/{name}.csv').stat().st_size
    assert (explained / 'report/figures/style_pairs.png').exists()
